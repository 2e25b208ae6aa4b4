// All that TensorRT's headers take from CUDA's. The daemon reaches CUDA through the driver at run time, so a
// machine that compiles it needs no CUDA toolkit.
#pragma once

typedef struct CUevent_st* cudaEvent_t;
typedef struct CUstream_st* cudaStream_t;
