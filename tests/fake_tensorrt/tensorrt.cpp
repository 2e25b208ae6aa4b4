// The library and its parser. `stubs.h` is made of NvInferImpl.h by the test: for each of TensorRT's abstract
// implementation classes a `StubX` whose every function ends the process, so that a call nobody expected is seen.
#include "fake.h"

#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

[[noreturn]] static void unexpected(char const* function) {
    std::fprintf(stderr, "the fake was asked for %s\n", function);
    std::abort();
}

#include "stubs.h"

using namespace nvinfer1;
using fake::has;
using fake::note;

namespace {

// One logger for everybody, as TensorRT has it: the first one that is given, until no builder or runtime is left.
ILogger* gLogger = nullptr;
int gLoggerUsers = 0;
struct LoggerUser {
    explicit LoggerUser(ILogger* given) {
        if (gLoggerUsers++ == 0) gLogger = given;
    }
    ~LoggerUser() {
        if (--gLoggerUsers == 0) gLogger = nullptr;
    }
};

Dims4 const kShape(1, 1, 416, 576);
size_t const kPixels = 416 * 576;

void error(char const* text) { gLogger->log(ILogger::Severity::kERROR, text); }
void warn(char const* text) { gLogger->log(ILogger::Severity::kWARNING, text); }

// An interface around an implementation, as TensorRT makes them. Both say when they come and go.
template <typename Interface, typename Implementation>
struct Made final : Interface {
    std::string name;
    template <typename... A>
    explicit Made(char const* what, A&&... arguments) : name(what) {
        this->mImpl = new Implementation(std::forward<A>(arguments)...);
        note(name + "+");
    }
    ~Made() noexcept override {
        delete this->mImpl;
        note(name + "-");
    }
};

// What the factories can hand out after they have failed.
template <typename Interface>
struct Broken final : Interface {
    Broken() { this->mImpl = nullptr; }
    static void* get() {
        static auto* broken = new Broken;
        return static_cast<Interface*>(broken);
    }
    ~Broken() noexcept override { unexpected("the destructor of a broken object"); }
};

struct Memory final : apiv::StubHostMemory {
    std::string bytes;
    explicit Memory(std::string given) : bytes(std::move(given)) {}
    void* data() const noexcept override { return const_cast<char*>(bytes.data()); }
    size_t size() const noexcept override { return bytes.size(); }
};
IHostMemory* memory(std::string bytes) { return new Made<IHostMemory, Memory>("bytes", std::move(bytes)); }

struct Tensor final : apiv::StubTensor {
    char const* name;
    DataType type;
    explicit Tensor(char const* called) : name(called), type(has("wrong_io") ? DataType::kFLOAT : DataType::kUINT8) {}
    char const* getName() const noexcept override { return name; }
    DataType getType() const noexcept override { return type; }
    Dims getDimensions() const noexcept override { return kShape; }
};

struct Network final : apiv::StubNetworkDefinition {
    std::string model;
    Made<ITensor, Tensor> input{"tensor", "frame"}, output{"tensor", "nerve"};
    int32_t getNbInputs() const noexcept override { return 1; }
    int32_t getNbOutputs() const noexcept override { return 1; }
    ITensor* getInput(int32_t) const noexcept override { return const_cast<Made<ITensor, Tensor>*>(&input); }
    ITensor* getOutput(int32_t) const noexcept override { return const_cast<Made<ITensor, Tensor>*>(&output); }
};
// The network that was made last: one is alive at a time.
Network* gNetwork = nullptr;

struct Timing final : apiv::StubTimingCache {
    std::string bytes;
    explicit Timing(std::string given) : bytes(std::move(given)) {}
    IHostMemory* serialize() const noexcept override { return memory(bytes + "T"); }
};

// The timing cache that a build was given. The builder uses it to its end.
Timing* gTiming = nullptr;

struct Config final : apiv::StubBuilderConfig {
    IProgressMonitor* monitor = nullptr;
    ITimingCache const* timing = nullptr;
    void setMemoryPoolLimit(MemoryPoolType, size_t size) noexcept override { note("workspace=" + std::to_string(size)); }
    void setBuilderOptimizationLevel(int32_t level) noexcept override { note("level=" + std::to_string(level)); }
    // On unless it is cleared.
    bool isTf32 = true;
    void clearFlag(BuilderFlag flag) noexcept override { isTf32 = isTf32 && flag != BuilderFlag::kTF32; }
    void setProfilingVerbosity(ProfilingVerbosity) noexcept override {}
    void setProgressMonitor(IProgressMonitor* given) noexcept override { monitor = given; }
    ITimingCache* createTimingCache(void const* blob, size_t size) const noexcept override {
        std::string bytes(static_cast<char const*>(blob), size);
        // Only what this library wrote itself.
        if (bytes.find_first_not_of('T') != std::string::npos) {
            warn("Failed to deserialize timing cache. Returning an empty timing cache.");
            bytes.clear();
        }
        note("timing=" + std::to_string(bytes.size()));
        struct Opened final : ITimingCache {
            explicit Opened(std::string of) { mImpl = gTiming = new Timing(std::move(of)); note("timing+"); }
            ~Opened() noexcept override { delete mImpl; note("timing-"); }
        };
        return new Opened(bytes);
    }
    bool setTimingCache(ITimingCache const& cache, bool) noexcept override { timing = &cache; return true; }
    ITimingCache const* getTimingCache() const noexcept override { return timing; }
};
Config* gConfig = nullptr;

struct Builder final : apiv::StubBuilder {
    LoggerUser user;
    explicit Builder(void* logger) : user(static_cast<ILogger*>(logger)) { gTiming = nullptr; }
    ~Builder() noexcept override {
        // A cache that is gone by now is found by AddressSanitizer and Valgrind.
        if (gTiming != nullptr && gTiming->bytes == "what no cache holds") unexpected("a timing cache of this name");
    }
    INetworkDefinition* createNetworkV2(NetworkDefinitionCreationFlags flags) noexcept override {
        note("flags=" + std::to_string(flags));
        struct Opened final : INetworkDefinition {
            Opened() { mImpl = gNetwork = new Network; note("network+"); }
            ~Opened() noexcept override { delete mImpl; gNetwork = nullptr; note("network-"); }
        };
        return new Opened;
    }
    IBuilderConfig* createBuilderConfig() noexcept override {
        struct Opened final : IBuilderConfig {
            Opened() { mImpl = gConfig = new Config; note("config+"); }
            ~Opened() noexcept override { delete mImpl; gConfig = nullptr; note("config-"); }
        };
        return new Opened;
    }
    IHostMemory* buildSerializedNetwork(INetworkDefinition&, IBuilderConfig&) noexcept override {
        note(gConfig->isTf32 ? "build with TF32" : "build");
        auto& monitor = *gConfig->monitor;
        int const steps = 20;
        monitor.phaseStart("Building Engine", nullptr, steps);
        for (int step = 0; step < steps; ++step) {
            monitor.phaseStart("Tactics", "Building Engine", 2);
            monitor.stepComplete("Tactics", 0);
            if (has("slow_build")) std::this_thread::sleep_for(std::chrono::milliseconds(fake::number("slow_build")));
            monitor.phaseFinish("Tactics");
            if (!monitor.stepComplete("Building Engine", step)) return error("the build was cancelled by its monitor"), note("cancelled"), nullptr;
        }
        monitor.phaseFinish("Building Engine");
        if (has("null_plan")) return error("no tactic was found"), nullptr;
        if (has("zero_plan")) return memory("");
        return memory("PLAN" + gNetwork->model);
    }
};

struct Context final : apiv::StubExecutionContext {
    std::string model;
    void *input = nullptr, *output = nullptr;
    int frames = 0;
    explicit Context(std::string of) : model(std::move(of)) {}
    ~Context() noexcept override {
        if (fake::isGone()) error("Error Code 1: Cuda Runtime (unspecified launch failure)");
    }
    bool setTensorAddress(char const* name, void* address) noexcept override {
        if (reinterpret_cast<uintptr_t>(address) % 256 != 0) return error("an address is not a multiple of 256"), false;
        (std::strcmp(name, "frame") == 0 ? input : output) = address;
        return address != nullptr;
    }
    bool enqueueV3(cudaStream_t stream) noexcept override {
        if (fake::isGone()) return error("Error Code 1: Cuda Runtime (unspecified launch failure)"), false;
        int fails = fake::number("enqueue_fails");
        if (fails >= 0 && frames++ >= fails) return error("enqueue failed"), false;
        note("enqueue");
        bool const flat = model.find("fake:flat") != std::string::npos;
        bool const invert = model.find("fake:invert") != std::string::npos;
        fake::put(stream, [from = input, into = output, flat, invert] {
            auto *input = fake::at(from, kPixels), *output = fake::at(into, kPixels);
            for (size_t i = 0; i < kPixels; ++i) {
                output[i] = flat ? 0 : invert ? static_cast<unsigned char>(255 - input[i]) : input[i];
            }
        });
        return true;
    }
};

struct Engine final : apiv::StubCudaEngine {
    std::string model;
    explicit Engine(std::string of) : model(std::move(of)) {}
    int32_t getNbIOTensors() const noexcept override { return 2; }
    char const* getIOTensorName(int32_t i) const noexcept override { return i == 0 ? "frame" : "nerve"; }
    TensorIOMode getTensorIOMode(char const* name) const noexcept override {
        return std::strcmp(name, "frame") == 0 ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
    }
    DataType getTensorDataType(char const*) const noexcept override {
        return has("wrong_plan") ? DataType::kHALF : DataType::kUINT8;
    }
    Dims getTensorShape(char const*) const noexcept override { return kShape; }
    int64_t getDeviceMemorySizeV2() const noexcept override { return 1 << 20; }
    IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy) noexcept override {
        if (has("no_context")) return error("no memory for a context"), nullptr;
        return new Made<IExecutionContext, Context>("context", model);
    }
};

struct Runtime final : apiv::StubRuntime {
    LoggerUser user;
    explicit Runtime(void* logger) : user(static_cast<ILogger*>(logger)) {}
    ICudaEngine* deserializeCudaEngine(void const* blob, size_t size) noexcept override {
        std::string plan(static_cast<char const*>(blob), size);
        note("load");
        if (has("load_no_memory")) return error("Error Code 2: OutOfMemory (no further information)"), nullptr;
        if (has("refuse_plan") || plan.rfind("PLAN", 0) != 0) {
            return error("Error Code 1: Serialization (Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.)"),
                nullptr;
        }
        return new Made<ICudaEngine, Engine>("engine", plan.substr(4));
    }
};

struct Error final : nvonnxparser::IParserError {
    nvonnxparser::ErrorCode code() const override { return nvonnxparser::ErrorCode::kUNSUPPORTED_NODE; }
    char const* desc() const override {
        if (has("parser_throws")) throw std::runtime_error("thrown by the parser");
        return "no importer for this operator";
    }
    char const* file() const override { return "f.cpp"; }
    int line() const override { return 1; }
    char const* func() const override { return "f"; }
    int node() const override { return 7; }
    char const* nodeName() const override { return "conv1"; }
    char const* nodeOperator() const override { return "Strange"; }
    char const* const* localFunctionStack() const override { return nullptr; }
    int32_t localFunctionStackSize() const override { return 0; }
};

struct Parser final : nvonnxparser::StubIParser {
    Error first;
    Parser() { note("parser+"); }
    ~Parser() noexcept override { note("parser-"); }
    bool parse(void const* model, size_t size, char const*) noexcept override {
        note("parse");
        gNetwork->model.assign(static_cast<char const*>(model), size);
        return !has("parser_error") && !has("parser_throws");
    }
    int getNbErrors() const noexcept override { return 2; }
    nvonnxparser::IParserError const* getError(int) const noexcept override { return &first; }
};

} // namespace

extern "C" {

int32_t getInferLibVersion() noexcept { return static_cast<int32_t>(has("other_major") ? 90000 : NV_TENSORRT_VERSION); }

void* createInferRuntime_INTERNAL(void* logger, int32_t) noexcept {
    if (has("tiny_runtime")) return reinterpret_cast<void*>(0x228);
    if (has("broken_runtime")) return Broken<IRuntime>::get();
    return static_cast<IRuntime*>(new Made<IRuntime, Runtime>("runtime", logger));
}

void* createInferBuilder_INTERNAL(void* logger, int32_t) noexcept {
    if (has("broken_builder")) return Broken<IBuilder>::get();
    return static_cast<IBuilder*>(new Made<IBuilder, Builder>("builder", logger));
}

void* createNvOnnxParser_INTERNAL(void*, void*, int) noexcept {
    return static_cast<nvonnxparser::IParser*>(new Parser);
}

} // extern "C"
