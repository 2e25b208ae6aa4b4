// The driver's measuring library: two GPUs, each of which takes 4 J from one reading of its counter to the next, or 25 W
// where it has no counter.
#include "fake.h"

#include <cstdint>

using Gpu = unsigned long long*;
static unsigned long long gMillijoules[2] = {1000000, 2000000};

// nvmlReturn_t
constexpr int kOK = 0, kInvalidArgument = 2, kNotSupported = 3;

extern "C" {

int nvmlInit_v2() { return kOK; }
int nvmlShutdown() { return kOK; }
int nvmlDeviceGetCount_v2(unsigned* count) { *count = 2; return kOK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu* gpu) {
    if (index > 1) return kInvalidArgument;
    *gpu = &gMillijoules[index];
    return kOK;
}
int nvmlDeviceGetTotalEnergyConsumption(Gpu gpu, unsigned long long* millijoules) {
    *millijoules = *gpu += 4000;
    return fake::has("no_energy") ? kNotSupported : kOK;
}
int nvmlDeviceGetPowerUsage(Gpu, unsigned* milliwatts) {
    *milliwatts = 25000;
    return fake::has("no_power") ? kNotSupported : kOK;
}

} // extern "C"
