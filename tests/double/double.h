// A stand-in for libcuda, libnvinfer and libnvonnxparser in one library: it writes a journal of the calls that make
// and free things, fails where it is told to, and runs "kernels" on the CPU when their stream gets to them.
#pragma once

#include <functional>
#include <string>

namespace fake {

// Whether this fault was asked for, in NERVELIGHT_DOUBLE or by `double_set`: names with commas between.
bool has(char const* fault);
// The number after `fault=`, or -1.
int number(char const* fault);
// Adds a line to the journal.
void note(std::string const& line);
// Work for a stream: done at once, or when the graph is launched that the stream is recording.
void put(void* stream, std::function<void()> work);

} // namespace fake

extern "C" {
// Replaces the faults.
void double_set(char const* faults);
// The journal up to now, lines joined by spaces; it begins anew.
char const* double_journal();
// Objects of both libraries that are alive, and allocations of the driver.
int double_alive();
}
