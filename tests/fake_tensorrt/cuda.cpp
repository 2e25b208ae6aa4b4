// The driver: just the functions that cudarc loads for the engine.
#include "fake.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace fake {

std::recursive_mutex gLock;
std::string gFaults = [] {
    char const* faults = std::getenv("NERVELIGHT_FAKE_TENSORRT");
    return std::string(faults == nullptr ? "" : faults);
}();
std::string gJournal;
int gAlive = 0;

bool has(char const* fault) {
    std::lock_guard<std::recursive_mutex> lock(gLock);
    return ("," + gFaults + ",").find("," + std::string(fault) + ",") != std::string::npos || number(fault) >= 0;
}

int number(char const* fault) {
    std::lock_guard<std::recursive_mutex> lock(gLock);
    std::string key = "," + std::string(fault) + "=";
    auto at = ("," + gFaults).find(key);
    return at == std::string::npos ? -1 : std::atoi(("," + gFaults).c_str() + at + key.size());
}

void note(std::string const& line) {
    std::lock_guard<std::recursive_mutex> lock(gLock);
    gJournal += (gJournal.empty() ? "" : " ") + line;
    gAlive += line.back() == '+' ? 1 : line.back() == '-' ? -1 : 0;
    if (char const* path = std::getenv("NERVELIGHT_FAKE_TENSORRT_JOURNAL")) {
        if (FILE* file = std::fopen(path, "a")) {
            std::fprintf(file, "%s\n", line.c_str());
            std::fclose(file);
        }
    }
}

using Work = std::vector<std::function<void()>>;
struct Stream {
    Work waiting;
    std::unique_ptr<Work> recording;
};
struct Event {
    Stream* stream = nullptr;
};
struct Graph {
    Work work;
};

void put(void* stream, std::function<void()> work) {
    auto* to = static_cast<Stream*>(stream);
    (to->recording ? *to->recording : to->waiting).push_back(std::move(work));
}

int gLaunches = 0;
bool gGone = false;
thread_local void* gCurrent = nullptr;

// CUresult
constexpr int kOK = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100, kInvalidContext = 201, kLaunchFailed = 719,
    kUnsupported = 900;

// A device that fell off refuses everything for ever.
bool isGone() { return gGone; }
int alive() { return isGone() ? kLaunchFailed : kOK; }
// What a call says that needs a context.
int ready() { return gCurrent == nullptr ? kInvalidContext : alive(); }

// Does what waits. A failure shows here, and in whatever is called later.
int finish(Stream* stream) {
    auto work = std::move(stream->waiting);
    stream->waiting.clear();
    for (auto& step : work) {
        if (isGone()) break;
        step();
    }
    return alive();
}

struct Block {
    size_t size;
    unsigned char* host;
};
// What lies where on the device. No pointer of the CPU looks like these.
std::map<uint64_t, Block> gBlocks;
uint64_t gNext = 0xd000000000000000;

uint64_t place(size_t size, void* host) {
    std::lock_guard<std::recursive_mutex> lock(gLock);
    uint64_t address = gNext;
    gNext += (size + 511) / 512 * 512 + 512;
    gBlocks[address] = {size, static_cast<unsigned char*>(host)};
    return address;
}

unsigned char* at(void const* address, size_t size) {
    std::lock_guard<std::recursive_mutex> lock(gLock);
    auto number = reinterpret_cast<uint64_t>(address);
    auto after = gBlocks.upper_bound(number);
    if (after != gBlocks.begin()) {
        auto& [begin, block] = *std::prev(after);
        if (number - begin + size <= block.size) return block.host + (number - begin);
    }
    std::fprintf(stderr, "the device has nothing at %p\n", address);
    std::abort();
}

template <typename T>
int make(T** out, T* made, char const* what) {
    *out = made;
    note(what);
    return alive();
}

template <typename T>
int drop(T* object, char const* what) {
    delete object;
    note(what);
    return alive();
}

} // namespace fake

using namespace fake;
using Device = int;
using Address = uint64_t;

extern "C" {

void fake_set(char const* faults) {
    std::lock_guard<std::recursive_mutex> lock(gLock);
    gFaults = faults;
    gLaunches = 0;
    gGone = false;
}
char const* fake_journal() {
    static std::string taken;
    std::lock_guard<std::recursive_mutex> lock(gLock);
    taken.swap(gJournal);
    gJournal.clear();
    return taken.c_str();
}
int fake_alive() { return gAlive; }

int cuDriverGetVersion(int* version) { *version = has("old_driver") ? 11040 : 12060; return kOK; }
int cuInit(unsigned) { return has("no_gpu") ? kNoDevice : kOK; }
int cuDeviceGetCount(int* count) { *count = 1; return kOK; }
int cuDeviceGet(Device* device, int ordinal) { *device = ordinal; return kOK; }
int cuDeviceGetName(char* name, int length, Device) { std::snprintf(name, length, "Fake GPU"); return kOK; }
int cuDeviceGetAttribute(int* value, int attribute, Device) {
    constexpr int kMultiprocessors = 16, kIntegrated = 18, kMajor = 75, kMinor = 76;
    int capability = number("cc") < 0 ? 87 : number("cc");
    std::map<int, int> known{{kMultiprocessors, 8}, {kIntegrated, has("integrated") ? 1 : 0}, {kMajor, capability / 10}, {kMinor, capability % 10}};
    *value = known[attribute];
    return kOK;
}
int cuDevicePrimaryCtxRetain(void** context, Device) { *context = &gCurrent; note("device+"); return kOK; }
int cuDevicePrimaryCtxRelease_v2(Device) { note("device-"); return kOK; }
int cuCtxGetCurrent(void** context) { *context = gCurrent; return alive(); }
int cuCtxSetCurrent(void* context) { gCurrent = context; return alive(); }
int cuCtxSynchronize() { return alive(); }
int cuGetErrorName(int code, char const** name) {
    static std::map<int, char const*> names{{kInvalidValue, "CUDA_ERROR_INVALID_VALUE"}, {kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"},
        {kNoDevice, "CUDA_ERROR_NO_DEVICE"}, {kInvalidContext, "CUDA_ERROR_INVALID_CONTEXT"}, {kLaunchFailed, "CUDA_ERROR_LAUNCH_FAILED"},
        {kUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
    *name = names.count(code) != 0 ? names[code] : "CUDA_ERROR_UNKNOWN";
    return kOK;
}
int cuGetErrorString(int code, char const** text) { return cuGetErrorName(code, text); }

int cuMemGetInfo_v2(size_t* free, size_t* total) { *free = 3UL << 30; *total = 4UL << 30; return ready(); }
int cuMemHostAlloc(void** address, size_t size, unsigned) {
    if (int refused = ready()) return refused;
    if (has("no_memory")) return kOutOfMemory;
    *address = std::aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    note("host+");
    return kOK;
}
int cuMemFreeHost(void* address) {
    std::lock_guard<std::recursive_mutex> lock(gLock);
    for (auto block = gBlocks.begin(); block != gBlocks.end();) {
        block = block->second.host == address ? gBlocks.erase(block) : std::next(block);
    }
    std::free(address);
    note("host-");
    return ready();
}
int cuMemHostGetDevicePointer_v2(Address* mapped, void* address, unsigned) {
    *mapped = place(416 * 576, address);
    note("map");
    return ready();
}
int cuMemAlloc_v2(Address* address, size_t size) {
    if (int refused = ready()) return refused;
    *address = place(size, std::malloc(size));
    note("memory+");
    return kOK;
}
int cuMemFree_v2(Address address) {
    std::lock_guard<std::recursive_mutex> lock(gLock);
    auto block = gBlocks.find(address);
    if (block == gBlocks.end()) return kInvalidValue;
    std::free(block->second.host);
    gBlocks.erase(block);
    note("memory-");
    return ready();
}
int cuMemcpyHtoDAsync_v2(Address to, void const* from, size_t size, void* stream) {
    put(stream, [=] { std::memcpy(at(reinterpret_cast<void*>(to), size), from, size); });
    note("upload");
    return ready();
}
int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t size, void* stream) {
    put(stream, [=] { std::memcpy(to, at(reinterpret_cast<void*>(from), size), size); });
    note("download");
    return ready();
}

int cuStreamCreate(Stream** stream, unsigned) {
    if (gCurrent == nullptr) return kInvalidContext;
    return make(stream, new Stream, "stream+");
}
int cuStreamDestroy_v2(Stream* stream) { return drop(stream, "stream-"); }
int cuStreamSynchronize(Stream* stream) { return finish(stream); }
int cuStreamBeginCapture_v2(Stream* stream, int) {
    stream->recording = std::make_unique<Work>();
    note("record");
    return ready();
}
int cuStreamEndCapture(Stream* stream, Graph** graph) {
    auto recorded = std::move(stream->recording);
    *graph = nullptr;
    if (has("no_graph")) return kUnsupported;
    return make(graph, new Graph{*recorded}, "graph+");
}
int cuGraphInstantiateWithFlags(Graph** made, Graph* graph, unsigned long long) {
    return make(made, new Graph(*graph), "ready+");
}
int cuGraphExecDestroy(Graph* made) { return drop(made, "ready-"); }
int cuGraphDestroy(Graph* graph) { return drop(graph, "graph-"); }
int cuGraphLaunch(Graph* made, Stream* stream) {
    if (int refused = ready()) return refused;
    put(stream, [] {
        int after = number("falls_off");
        gGone = after >= 0 && ++gLaunches > after;
        // One frame never ends; an engine that is opened later goes on with the next.
        static std::atomic<int> launched{0};
        if (number("hangs_at") >= 0 && ++launched == number("hangs_at")) std::this_thread::sleep_for(std::chrono::hours(1));
        if (has("slow_frame")) std::this_thread::sleep_for(std::chrono::milliseconds(number("slow_frame")));
    });
    for (auto& work : made->work) put(stream, work);
    note("launch");
    return kOK;
}
int cuEventCreate(Event** event, unsigned) {
    if (gCurrent == nullptr) return kInvalidContext;
    return make(event, new Event, "event+");
}
int cuEventDestroy_v2(Event* event) { return drop(event, "event-"); }
int cuEventRecord(Event* event, Stream* stream) { event->stream = stream; return ready(); }
int cuEventSynchronize(Event* event) { return event->stream == nullptr ? alive() : finish(event->stream); }
int cuEventElapsedTime(float* ms, Event*, Event*) { *ms = 1.5F; return alive(); }

} // extern "C"
