// Drives the shim against the fake, every step and every fault, for the address sanitizer to watch. Exits with 0
// when each ended as it should and nothing is left alive.
#include "../../engines/src/tensorrt/shim.h"
#include "fake.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
void* createInferRuntime_INTERNAL(void*, int32_t);
void* createInferBuilder_INTERNAL(void*, int32_t);
void* createNvOnnxParser_INTERNAL(void*, void*, int32_t);
int cuStreamCreate(void**, unsigned);
int cuStreamDestroy_v2(void*);
int cuStreamSynchronize(void*);
int cuDevicePrimaryCtxRetain(void**, int);
int cuDevicePrimaryCtxRelease_v2(int);
int cuCtxSetCurrent(void*);
int cuMemAlloc_v2(uint64_t*, size_t);
int cuMemFree_v2(uint64_t);
int cuMemcpyHtoDAsync_v2(uint64_t, void const*, size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, uint64_t, size_t, void*);
}

static std::string gLog, gPlan, gTiming;
static int gSteps = 0;

static void onLog(int32_t severity, char const* text) {
    if (severity <= 2) gLog += std::string(text) + "\n";
}
static int32_t onProgress(void*, int32_t event, char const*, char const*, int32_t) {
    gSteps += event == NL_PHASE_STEP ? 1 : 0;
    return fake::has("cancel") && gSteps > 3 ? 0 : 1;
}
static void onBytes(void*, int32_t kind, void const* data, size_t size) {
    (kind == NL_BYTES_PLAN ? gPlan : gTiming).assign(static_cast<char const*>(data), size);
}

static void require(bool good, char const* faults, char const* what) {
    if (good) return;
    std::fprintf(stderr, "with faults '%s': %s\nlog: %s\n", faults, what, gLog.c_str());
    std::exit(1);
}

int main() {
    NlHooks hooks{nullptr, onProgress, onBytes};
    NlFactories factories{createInferRuntime_INTERNAL, createInferBuilder_INTERNAL, createNvOnnxParser_INTERNAL};
    NlContract contract{"frame", "nerve", {1, 1, 416, 576}};
    NlOptions options{1 << 20, 3, 0};
    std::string model = "a model";

    struct Case {
        char const* faults;
        int build;
        int open;
        char const* words;
    };
    std::vector<Case> cases{
        {"", NL_OK, NL_OK, ""},
        {"broken_builder", NL_BUILDER, NL_OK, ""},
        {"parser_error", NL_PARSE, NL_OK, "node 7 'conv1' (Strange): no importer for this operator"},
        {"parser_throws", NL_EXCEPTION, NL_OK, "thrown by the parser"},
        {"wrong_io", NL_CONTRACT, NL_OK, "uint8 frame"},
        {"null_plan", NL_BUILD, NL_OK, "no tactic was found"},
        {"zero_plan", NL_BUILD, NL_OK, ""},
        {"cancel", NL_BUILD, NL_OK, ""},
        {"broken_runtime", NL_OK, NL_RUNTIME, ""},
        {"tiny_runtime", NL_OK, NL_RUNTIME, ""},
        {"refuse_plan", NL_OK, NL_PLAN, "Serialization"},
        {"wrong_plan", NL_OK, NL_CONTRACT, "the plan has"},
        {"no_context", NL_OK, NL_CONTEXT, "no memory for a context"},
    };
    std::string const good = "PLANa model";
    void *stream = nullptr, *context = nullptr;
    require(cuStreamCreate(&stream, 0) == 201, "", "a stream without a context");
    for (auto const& c : cases) {
        fake_set(c.faults);
        gLog.clear(), gPlan.clear(), gTiming = "T", gSteps = 0;
        std::string timing = gTiming;
        int status = nl_tensorrt.build(&factories, onLog, &hooks, &contract, &options, {model.data(), model.size()},
            {timing.data(), timing.size()});
        require(status == c.build, c.faults, "the build ended otherwise");
        require((status == NL_OK) == (gPlan == good), c.faults, "the plan");
        require((status == NL_OK) == (gTiming == "TT"), c.faults, "the timing cache");
        NlEngine* engine = nullptr;
        status = nl_tensorrt.open(&factories, onLog, &contract, {good.data(), good.size()}, &engine);
        require(status == c.open && (engine != nullptr) == (status == NL_OK), c.faults, "the opening ended otherwise");
        require(gLog.find(c.words) != std::string::npos, c.faults, "the words are missing");
        if (engine != nullptr) {
            cuDevicePrimaryCtxRetain(&context, 0);
            cuCtxSetCurrent(context);
            cuStreamCreate(&stream, 0);
            size_t const size = 416 * 576;
            std::vector<unsigned char> input(size, 7), output(size);
            uint64_t from = 0, to = 0;
            cuMemAlloc_v2(&from, size);
            cuMemAlloc_v2(&to, size);
            auto pointer = [](uint64_t address) { return reinterpret_cast<void*>(address); };
            require(nl_tensorrt.bind(engine, &contract, pointer(from), nullptr) == NL_BIND, c.faults, "a null address");
            require(nl_tensorrt.bind(engine, &contract, pointer(from), pointer(to + 1)) == NL_BIND, c.faults, "a crooked address");
            require(nl_tensorrt.bind(engine, &contract, pointer(from), pointer(to)) == NL_OK, c.faults, "bind");
            cuMemcpyHtoDAsync_v2(from, input.data(), size, stream);
            require(nl_tensorrt.enqueue(engine, stream) == NL_OK, c.faults, "enqueue");
            cuMemcpyDtoHAsync_v2(output.data(), to, size, stream);
            require(output[0] == 0, c.faults, "done before anybody waited");
            require(cuStreamSynchronize(stream) == 0 && output == input, c.faults, "the map");
            fake_set("enqueue_fails=0");
            require(nl_tensorrt.enqueue(engine, stream) == NL_ENQUEUE, c.faults, "a failing enqueue");
            require(nl_tensorrt.memory(engine) == 1 << 20, c.faults, "memory");
            fake_journal();
            nl_tensorrt.close(engine);
            require(std::strcmp(fake_journal(), "context- engine- runtime-") == 0, c.faults, "the order of frees");
            cuMemFree_v2(from);
            cuMemFree_v2(to);
            cuStreamDestroy_v2(stream);
            cuDevicePrimaryCtxRelease_v2(0);
        }
        require(fake_alive() == 0, c.faults, "something is left alive");
    }
    NlEngine* engine = nullptr;
    fake_set("");
    require(nl_tensorrt.open(&factories, onLog, &contract, {good.data(), 0}, &engine) == NL_PLAN, "", "an empty plan");
    require(fake_alive() == 0, "", "something is left alive");
    // TensorRT's logger is the first engine's, and the second one still logs when the first is gone.
    NlEngine* other = nullptr;
    for (NlEngine** made : {&engine, &other}) {
        require(nl_tensorrt.open(&factories, onLog, &contract, {good.data(), good.size()}, made) == NL_OK, "", "two engines");
    }
    nl_tensorrt.close(engine);
    fake_set("enqueue_fails=0"), gLog.clear();
    require(nl_tensorrt.enqueue(other, nullptr) == NL_ENQUEUE && gLog == "enqueue failed\n", "", "the second engine's words");
    nl_tensorrt.close(other);
    fake_set("");
    require(fake_alive() == 0, "", "something is left alive");
    // A damaged timing cache is replaced, a missing parser is no crash.
    require(nl_tensorrt.build(&factories, onLog, &hooks, &contract, &options, {model.data(), model.size()}, {"xyz", 3}) == NL_OK, "",
        "a damaged timing cache");
    factories.parser = nullptr;
    require(nl_tensorrt.build(&factories, onLog, &hooks, &contract, &options, {model.data(), model.size()}, {nullptr, 0}) == NL_PARSER,
        "", "no parser");
    require(fake_alive() == 0, "", "something is left alive");
    std::printf("all as it should be\n");
    return 0;
}
