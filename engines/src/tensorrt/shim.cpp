#include "shim.h"

#ifdef NL_RTX
// Inline functions of the headers go into the program under their names. Those of the two libraries must not meet there:
// a linker keeps one of each name, and the tables they call through differ.
#define nvinfer1 nvinfer1_rtx
#define nvonnxparser nvonnxparser_rtx
// It needs no timing cache and takes one all the same, so that both libraries are called alike.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <cstring>
#include <exception>
#include <memory>
#include <string>

#ifdef NL_RTX
#ifndef TRT_MAJOR_RTX
#error "these are headers of TensorRT, not of TensorRT for RTX: set TENSORRT_RTX_INCLUDE_DIR"
#endif
#else
#ifdef TRT_MAJOR_RTX
#error "these are headers of TensorRT for RTX, not of TensorRT: set TENSORRT_INCLUDE_DIR"
#endif
#if NV_TENSORRT_MAJOR < 10 || (NV_TENSORRT_MAJOR == 10 && NV_TENSORRT_MINOR < 3)
#error "TensorRT 10.3 or later is needed: JetPack 6.1 or later"
#endif
#endif

using nvinfer1::DataType;
using nvinfer1::Dims;
using Severity = nvinfer1::ILogger::Severity;

namespace {

class Logger final : public nvinfer1::ILogger {
public:
    explicit Logger(NlLog log) noexcept : mLog(log) {}
    void log(Severity severity, nvinfer1::AsciiChar const* text) noexcept override {
        mLog(static_cast<int32_t>(severity), text == nullptr ? "" : text);
    }
    void error(std::string const& text) noexcept { log(Severity::kERROR, text.c_str()); }

private:
    NlLog mLog;
};

// One for all, and never freed: TensorRT has a single logger, the first one given, for as long as any builder or runtime
// lives, and another engine's could be gone by then.
Logger& logger(NlLog log) {
    static Logger& kept = *new Logger(log);
    return kept;
}

class Monitor final : public nvinfer1::IProgressMonitor {
public:
    explicit Monitor(NlHooks const& hooks) noexcept : mHooks(hooks) {}
    void phaseStart(char const* phase, char const* parent, int32_t steps) noexcept override {
        tell(NL_PHASE_START, phase, parent, steps);
    }
    bool stepComplete(char const* phase, int32_t step) noexcept override {
        return tell(NL_PHASE_STEP, phase, nullptr, step);
    }
    void phaseFinish(char const* phase) noexcept override { tell(NL_PHASE_FINISH, phase, nullptr, 0); }

private:
    bool tell(NlEvent event, char const* phase, char const* parent, int32_t value) noexcept {
        return mHooks.progress(mHooks.user, event, phase == nullptr ? "" : phase, parent, value) != 0;
    }
    NlHooks mHooks;
};

// The factories can hand out something unusable after they have failed, and the first call through it would be the
// end of the process: an interface whose implementation is null, or (11.4 without a driver) a member's address in an
// object that is null, 0x228. No object lies in the first page.
template <typename T>
struct Peek : T {
    static bool isUsable(T const* object) noexcept {
        return reinterpret_cast<uintptr_t>(object) >= 4096 && object->*(&Peek::mImpl) != nullptr;
    }
};

template <typename T>
std::unique_ptr<T> adopt(void* made) noexcept {
    auto* object = static_cast<T*>(made);
    // A broken object is leaked: nothing says that its destructor can be run.
    return std::unique_ptr<T>(Peek<T>::isUsable(object) ? object : nullptr);
}

std::string describe(char const* name, DataType type, Dims const& shape) {
    std::string text = std::string(name == nullptr ? "?" : name) + " of type " + std::to_string(static_cast<int>(type)) + " [";
    for (int32_t i = 0; i < shape.nbDims; ++i) {
        text += (i == 0 ? "" : ", ") + std::to_string(shape.d[i]);
    }
    return text + "]";
}

bool fits(NlContract const& contract, char const* expected, char const* name, DataType type, Dims const& shape) {
    return name != nullptr && std::strcmp(name, expected) == 0 && type == DataType::kUINT8 && shape.nbDims == 4
        && std::memcmp(shape.d, contract.shape, sizeof contract.shape) == 0;
}

bool fits(NlContract const& contract, nvinfer1::INetworkDefinition const& network, Logger& logger) {
    bool good = network.getNbInputs() == 1 && network.getNbOutputs() == 1;
    auto check = [&](char const* expected, nvinfer1::ITensor const* tensor) {
        if (tensor == nullptr) {
            good = false;
        } else if (!fits(contract, expected, tensor->getName(), tensor->getType(), tensor->getDimensions())) {
            good = false;
            logger.error("the model has " + describe(tensor->getName(), tensor->getType(), tensor->getDimensions())
                + " where uint8 " + expected + " belongs");
        }
    };
    for (int32_t i = 0; i < network.getNbInputs(); ++i) {
        check(contract.input, network.getInput(i));
    }
    for (int32_t i = 0; i < network.getNbOutputs(); ++i) {
        check(contract.output, network.getOutput(i));
    }
    return good;
}

bool fits(NlContract const& contract, nvinfer1::ICudaEngine const& engine, Logger& logger) {
    bool good = engine.getNbIOTensors() == 2;
    for (int32_t i = 0; i < engine.getNbIOTensors(); ++i) {
        char const* name = engine.getIOTensorName(i);
        bool isInput = engine.getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
        char const* expected = isInput ? contract.input : contract.output;
        DataType type = engine.getTensorDataType(name);
        Dims shape = engine.getTensorShape(name);
        if (!fits(contract, expected, name, type, shape)) {
            good = false;
            logger.error("the plan has " + describe(name, type, shape) + " where uint8 " + expected + " belongs");
        }
    }
    return good;
}

void report(nvonnxparser::IParser const& parser, Logger& logger) {
    for (int i = 0; i < parser.getNbErrors(); ++i) {
        nvonnxparser::IParserError const* error = parser.getError(i);
        if (error == nullptr) {
            continue;
        }
        auto text = [](char const* part) { return std::string(part == nullptr ? "" : part); };
        std::string where = error->node() < 0
            ? "model"
            : "node " + std::to_string(error->node()) + " '" + text(error->nodeName()) + "' (" + text(error->nodeOperator()) + ")";
        logger.error(where + ": " + text(error->desc()));
    }
}

template <typename F>
int32_t guarded(NlLog log, F&& body) noexcept {
    try {
        return body();
    } catch (std::exception const& thrown) {
        logger(log).log(Severity::kERROR, thrown.what());
    } catch (...) {
        logger(log).log(Severity::kERROR, "an exception of unknown type");
    }
    return NL_EXCEPTION;
}

NlStatus build(NlFactories const& factories, Logger& logger, NlHooks const& hooks, NlContract const& contract,
    NlOptions const& options, NlBytes onnx, NlBytes timing) {
    // Destroyed from the last to the first: everything before its builder, the builder before its monitor and the timing
    // cache, which it may use to its end.
    Monitor monitor(hooks);
    std::unique_ptr<nvinfer1::ITimingCache> cache;
    if (factories.builder == nullptr) {
        return NL_BUILDER;
    }
    auto builder = adopt<nvinfer1::IBuilder>(factories.builder(&logger, NV_TENSORRT_VERSION));
    if (!builder) {
        return NL_BUILDER;
    }
#if defined(NL_RTX) || NV_TENSORRT_MAJOR >= 11
    nvinfer1::NetworkDefinitionCreationFlags flags = 0; // strongly typed is all there is
#else
    nvinfer1::NetworkDefinitionCreationFlags flags
        = 1U << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#endif
    std::unique_ptr<nvinfer1::INetworkDefinition> network(builder->createNetworkV2(flags));
    std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
    if (!network || !config) {
        return NL_NETWORK;
    }
    if (factories.parser == nullptr) {
        return NL_PARSER;
    }
    std::unique_ptr<nvonnxparser::IParser> parser(
        static_cast<nvonnxparser::IParser*>(factories.parser(network.get(), &logger, NV_ONNX_PARSER_VERSION)));
    if (!parser) {
        return NL_PARSER;
    }
    if (!parser->parse(onnx.data, onnx.size)) {
        report(*parser, logger);
        return NL_PARSE;
    }
    if (!fits(contract, *network, logger)) {
        return NL_CONTRACT;
    }
    if (options.workspace > 0) {
        config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, options.workspace);
    }
    config->setBuilderOptimizationLevel(options.level);
    // On by default: fp32 would multiply with 10 bits of mantissa.
    config->clearFlag(nvinfer1::BuilderFlag::kTF32);
    // What is built shows in the log, layer by layer, where somebody listens.
    config->setProfilingVerbosity(nvinfer1::ProfilingVerbosity::kDETAILED);
    config->setProgressMonitor(&monitor);
#ifdef NL_RTX
    auto target = options.compute_capability == 0 ? nvinfer1::ComputeCapability::kCURRENT
                                                  : static_cast<nvinfer1::ComputeCapability>(options.compute_capability);
    if (!config->setNbComputeCapabilities(1) || !config->setComputeCapability(target, 0)) {
        return NL_TARGET;
    }
#endif
    cache.reset(config->createTimingCache(timing.data, timing.size));
    // Of a damaged one an empty one is made, with a warning.
    if (cache && !config->setTimingCache(*cache, false)) {
        logger.log(Severity::kWARNING, "the timing cache is of another device; this build does without");
    }
    std::unique_ptr<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
    if (!plan || plan->data() == nullptr || plan->size() == 0) {
        return NL_BUILD;
    }
    hooks.bytes(hooks.user, NL_BYTES_PLAN, plan->data(), plan->size());
    nvinfer1::ITimingCache const* grown = config->getTimingCache();
    std::unique_ptr<nvinfer1::IHostMemory> kept(grown == nullptr ? nullptr : grown->serialize());
    if (kept && kept->size() > 0) {
        hooks.bytes(hooks.user, NL_BYTES_TIMING, kept->data(), kept->size());
    }
    return NL_OK;
}

// Members are destroyed from the last to the first.
struct Opened {
    std::unique_ptr<nvinfer1::IRuntime> runtime;
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
    std::unique_ptr<nvinfer1::IExecutionContext> context;
};

Opened* opened(NlEngine* engine) { return reinterpret_cast<Opened*>(engine); }

int32_t build(NlFactories const* factories, NlLog log, NlHooks const* hooks, NlContract const* contract,
    NlOptions const* options, NlBytes onnx, NlBytes timing) {
    return guarded(log, [&] { return build(*factories, logger(log), *hooks, *contract, *options, onnx, timing); });
}

int32_t open(NlFactories const* factories, NlLog log, NlContract const* contract, NlBytes plan, NlEngine** out) {
    *out = nullptr;
    return guarded(log, [&] {
        auto opened = std::make_unique<Opened>();
        opened->runtime = adopt<nvinfer1::IRuntime>(factories->runtime(&logger(log), NV_TENSORRT_VERSION));
        if (!opened->runtime) {
            return NL_RUNTIME;
        }
        if (plan.data == nullptr || plan.size == 0) {
            logger(log).error("the plan is empty");
            return NL_PLAN;
        }
        opened->engine.reset(opened->runtime->deserializeCudaEngine(plan.data, plan.size));
        if (!opened->engine) {
            return NL_PLAN;
        }
        if (!fits(*contract, *opened->engine, logger(log))) {
            return NL_CONTRACT;
        }
        opened->context.reset(opened->engine->createExecutionContext());
        if (!opened->context) {
            return NL_CONTEXT;
        }
        *out = reinterpret_cast<NlEngine*>(opened.release());
        return NL_OK;
    });
}

int32_t bind(NlEngine* engine, NlContract const* contract, void* input, void* output) {
    auto& context = *opened(engine)->context;
    bool good = context.setTensorAddress(contract->input, input) && context.setTensorAddress(contract->output, output);
    return good ? NL_OK : NL_BIND;
}

int32_t enqueue(NlEngine* engine, void* stream) {
    return opened(engine)->context->enqueueV3(static_cast<cudaStream_t>(stream)) ? NL_OK : NL_ENQUEUE;
}

int64_t memory(NlEngine const* engine) {
    return reinterpret_cast<Opened const*>(engine)->engine->getDeviceMemorySizeV2();
}

void close(NlEngine* engine) { delete opened(engine); }

} // namespace

#ifdef NL_RTX
#define NL_API nl_tensorrt_rtx
#else
#define NL_API nl_tensorrt
#endif
NlApi const NL_API{static_cast<int32_t>(NV_TENSORRT_VERSION), build, open, bind, enqueue, memory, close};
