// A stand-in for libcuda, libnvinfer and libnvonnxparser in one library: it writes a journal of the calls that make
// and free things, fails where it is told to, and runs "kernels" on the CPU when somebody waits for their stream. As on a
// GPU nothing is done before that, addresses of the device mean nothing to the CPU, most calls want a current context, and
// after some failures every call fails.
#pragma once

#include <functional>
#include <string>

namespace fake {

// Whether this fault was asked for, in NERVELIGHT_FAKE_TENSORRT or by `fake_set`: names with commas between.
bool has(char const* fault);
// The number after `fault=`, or -1.
int number(char const* fault);
// Adds a line to the journal.
void note(std::string const& line);
// Work for a stream: done when somebody waits for the stream, or for one that a graph was launched on which it recorded.
void put(void* stream, std::function<void()> work);
// What the CPU finds behind `size` bytes at an address of the device. Any other address ends the process.
unsigned char* at(void const* address, size_t size);
// Whether the device has failed for good.
bool isGone();

} // namespace fake

extern "C" {
// Replaces the faults.
void fake_set(char const* faults);
// The journal up to now, lines joined by spaces; it begins anew.
char const* fake_journal();
// Objects of both libraries that are alive, and allocations of the driver.
int fake_alive();
}
