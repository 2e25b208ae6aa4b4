// The driver: just the functions that cudarc loads for the engine.
#include "double.h"

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
    char const* faults = std::getenv("NERVELIGHT_DOUBLE");
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
    if (char const* path = std::getenv("NERVELIGHT_DOUBLE_JOURNAL")) {
        if (FILE* file = std::fopen(path, "a")) {
            std::fprintf(file, "%s\n", line.c_str());
            std::fclose(file);
        }
    }
}

using Work = std::vector<std::function<void()>>;
struct Stream {
    std::unique_ptr<Work> recording;
};
struct Graph {
    Work work;
};

void put(void* stream, std::function<void()> work) {
    auto* to = static_cast<Stream*>(stream);
    if (to->recording) {
        to->recording->push_back(std::move(work));
    } else {
        work();
    }
}

int gLaunches = 0;
int gHostBytes = 0;
thread_local void* gCurrent = nullptr;

// CUresult
constexpr int kOK = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100, kLaunchFailed = 719, kUnsupported = 900;

// A device that fell off refuses everything for ever.
bool isGone() {
    int after = number("falls_off");
    return after >= 0 && gLaunches > after;
}
int alive() { return isGone() ? kLaunchFailed : kOK; }

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

void double_set(char const* faults) {
    std::lock_guard<std::recursive_mutex> lock(gLock);
    gFaults = faults;
    gLaunches = 0;
}
char const* double_journal() {
    static std::string taken;
    std::lock_guard<std::recursive_mutex> lock(gLock);
    taken.swap(gJournal);
    gJournal.clear();
    return taken.c_str();
}
int double_alive() { return gAlive; }

int cuDriverGetVersion(int* version) { *version = has("old_driver") ? 11040 : 12060; return kOK; }
int cuInit(unsigned) { return has("no_gpu") ? kNoDevice : kOK; }
int cuDeviceGetCount(int* count) { *count = 1; return kOK; }
int cuDeviceGet(Device* device, int ordinal) { *device = ordinal; return kOK; }
int cuDeviceGetName(char* name, int length, Device) { std::snprintf(name, length, "Double GPU"); return kOK; }
int cuDeviceGetAttribute(int* value, int attribute, Device) {
    constexpr int kMultiprocessors = 16, kIntegrated = 18, kMajor = 75, kMinor = 76;
    std::map<int, int> known{{kMultiprocessors, 8}, {kIntegrated, has("integrated") ? 1 : 0}, {kMajor, 8}, {kMinor, 7}};
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
        {kNoDevice, "CUDA_ERROR_NO_DEVICE"}, {kLaunchFailed, "CUDA_ERROR_LAUNCH_FAILED"},
        {kUnsupported, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
    *name = names.count(code) != 0 ? names[code] : "CUDA_ERROR_UNKNOWN";
    return kOK;
}
int cuGetErrorString(int code, char const** text) { return cuGetErrorName(code, text); }

int cuMemGetInfo_v2(size_t* free, size_t* total) { *free = 3UL << 30; *total = 4UL << 30; return alive(); }
int cuMemHostAlloc(void** address, size_t size, unsigned) {
    if (has("no_memory")) return kOutOfMemory;
    *address = std::malloc(size);
    note("host+");
    return kOK;
}
int cuMemFreeHost(void* address) { std::free(address); note("host-"); return alive(); }
int cuMemHostGetDevicePointer_v2(Address* mapped, void* address, unsigned) {
    *mapped = reinterpret_cast<Address>(address);
    note("map");
    return kOK;
}
int cuMemAlloc_v2(Address* address, size_t size) {
    *address = reinterpret_cast<Address>(std::malloc(size));
    note("memory+");
    return kOK;
}
int cuMemFree_v2(Address address) { std::free(reinterpret_cast<void*>(address)); note("memory-"); return alive(); }
int cuMemcpyHtoDAsync_v2(Address to, void const* from, size_t size, void* stream) {
    put(stream, [=] { std::memcpy(reinterpret_cast<void*>(to), from, size); });
    note("upload");
    return alive();
}
int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t size, void* stream) {
    put(stream, [=] { std::memcpy(to, reinterpret_cast<void const*>(from), size); });
    note("download");
    return alive();
}

int cuStreamCreate(Stream** stream, unsigned) { return make(stream, new Stream, "stream+"); }
int cuStreamDestroy_v2(Stream* stream) { return drop(stream, "stream-"); }
int cuStreamSynchronize(Stream*) { return alive(); }
int cuStreamBeginCapture_v2(Stream* stream, int) {
    stream->recording = std::make_unique<Work>();
    note("record");
    return alive();
}
int cuStreamEndCapture(Stream* stream, Graph** graph) {
    auto recorded = std::move(stream->recording);
    *graph = nullptr;
    if (has("no_graph")) return kUnsupported;
    return make(graph, new Graph{*recorded}, "graph+");
}
int cuGraphInstantiateWithFlags(Graph** ready, Graph* graph, unsigned long long) {
    return make(ready, new Graph(*graph), "ready+");
}
int cuGraphExecDestroy(Graph* ready) { return drop(ready, "ready-"); }
int cuGraphDestroy(Graph* graph) { return drop(graph, "graph-"); }
int cuGraphLaunch(Graph* ready, Stream*) {
    ++gLaunches;
    if (isGone()) return kLaunchFailed;
    if (has("slow_frame")) std::this_thread::sleep_for(std::chrono::milliseconds(number("slow_frame")));
    for (auto& work : ready->work) work();
    note("launch");
    return kOK;
}
int cuEventCreate(int** event, unsigned) { return make(event, new int(0), "event+"); }
int cuEventDestroy_v2(int* event) { return drop(event, "event-"); }
int cuEventRecord(int*, Stream*) { return alive(); }
int cuEventSynchronize(int*) { return alive(); }
int cuEventElapsedTime(float* ms, int*, int*) { *ms = 1.5F; return alive(); }

} // extern "C"
