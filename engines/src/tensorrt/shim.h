// C ABI over the few calls of NvInfer.h and NvOnnxParser.h that the engine needs. `ffi.rs` mirrors it.
//
// Nothing here links TensorRT: the caller opens the libraries and passes their factories in. No exception
// leaves a function; every failure is a status, and its words have gone to the log before.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The step that failed; the order is the order of the calls.
typedef enum {
    NL_OK = 0,
    NL_BUILDER = 1,      // the builder's factory gave nothing usable
    NL_NETWORK = 2,      // no empty network or no configuration
    NL_PARSER = 3,       // the parser's factory gave nothing
    NL_PARSE = 4,        // the model was refused; each error was logged
    NL_CONTRACT = 5,     // other inputs or outputs than the contract's
    NL_BUILD = 6,        // no plan came out
    NL_RUNTIME = 7,       // the runtime's factory gave nothing usable
    NL_PLAN = 8,          // the plan was not accepted
    NL_CONTEXT = 9,      // no execution context
    NL_BIND = 10,         // an address was refused
    NL_ENQUEUE = 11,      // a frame was refused
    NL_EXCEPTION = 12,    // C++ threw, out of memory most likely
    NL_TARGET = 13        // TensorRT for RTX builds nothing for this compute capability
} NlStatus;

typedef enum { NL_PHASE_START = 0, NL_PHASE_STEP = 1, NL_PHASE_FINISH = 2 } NlEvent;
typedef enum { NL_BYTES_PLAN = 0, NL_BYTES_TIMING = 1 } NlBytesKind;

// Called from any of TensorRT's threads. The text lives only during the call. Severity as in ILogger: 0 internal error,
// 1 error, 2 warning, 3 info, 4 verbose. The function that is passed first is called to the end of the process.
typedef void (*NlLog)(int32_t severity, char const* text);

// Called from any of TensorRT's threads. Texts and bytes live only during the call.
typedef struct {
    void* user;
    // `value`: steps of the phase at its start, the step just done, 0 at its finish. 0 cancels the build.
    int32_t (*progress)(void* user, int32_t event, char const* phase, char const* parent, int32_t value);
    void (*bytes)(void* user, int32_t kind, void const* data, size_t size);
} NlHooks;

// The entry points of the libraries that were opened.
typedef struct {
    void* (*runtime)(void* logger, int32_t version);               // createInferRuntime_INTERNAL
    void* (*builder)(void* logger, int32_t version);               // createInferBuilder_INTERNAL
    void* (*parser)(void* network, void* logger, int32_t version); // createNvOnnxParser_INTERNAL
} NlFactories;

// One uint8 input and one uint8 output of the same shape.
typedef struct {
    char const* input;
    char const* output;
    int64_t shape[4];
} NlContract;

typedef struct {
    size_t workspace;           // bytes a layer may use for itself; 0: the library's default, the whole device
    int32_t level;              // builder optimisation level, 0 to 5
    int32_t compute_capability; // TensorRT for RTX: the GPU to build for, such as 89 for 8.9; 0: the one that is there
} NlOptions;

typedef struct {
    void const* data;
    size_t size;
} NlBytes;

typedef struct NlEngine NlEngine;

// The functions of one library. The shim is compiled once against the headers of each: TensorRT and TensorRT for RTX have
// the same names and other layouts.
typedef struct {
    // Version of the headers: major * 10000 + minor * 100 + patch.
    int32_t version;
    // Builds a plan; it and the grown timing cache arrive through `hooks->bytes`.
    int32_t (*build)(NlFactories const* factories, NlLog log, NlHooks const* hooks, NlContract const* contract,
        NlOptions const* options, NlBytes onnx, NlBytes timing);
    // Makes an engine of a plan.
    int32_t (*open)(NlFactories const* factories, NlLog log, NlContract const* contract, NlBytes plan, NlEngine** out);
    int32_t (*bind)(NlEngine* engine, NlContract const* contract, void* input, void* output);
    int32_t (*enqueue)(NlEngine* engine, void* stream);
    // Device memory that the context takes, in bytes.
    int64_t (*memory)(NlEngine const* engine);
    // Frees context, engine and runtime, in this order.
    void (*close)(NlEngine* engine);
} NlApi;

extern NlApi const nl_tensorrt;
extern NlApi const nl_tensorrt_rtx;

#ifdef __cplusplus
}
#endif
