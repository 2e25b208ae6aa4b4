//! Keeps freed memory: giving it back and taking it anew with every batch costs a page fault for every 4 kB.
#![allow(unsafe_code, reason = "the C library's settings; nothing else is in this file")]

/// Makes the C library keep freed memory, and libtorch ask for large pages. To be called before other
/// threads and the first tensor. Without it everything works, a sixth slower on a CPU.
pub fn keep() {
    // SAFETY: no other thread runs yet that could read the environment.
    unsafe {
        // c10/core/impl/alloc_cpu.cpp
        std::env::set_var("THP_MEM_ALLOC_ENABLE", "1");
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) takes any numbers and ignores what it cannot use.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}
