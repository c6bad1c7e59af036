/* bench.h - what benchmarks measure with and read from: a clock, counted instructions, files that
 * are packed. */
#ifndef DEJUNK_TESTS_BENCH_H
#define DEJUNK_TESTS_BENCH_H

#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "base/bytes.h"

static inline uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline double now_s(void)
{
    return (double)now_ns() / 1e9;
}

/* Of instructions of this thread; below zero where the machine does not let us. */
static inline int open_counter(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof attributes,
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

/* 0: there is none. */
static inline uint64_t read_counter(int fd)
{
    uint64_t value = 0;

    if (fd >= 0 && read(fd, &value, sizeof value) != (ssize_t)sizeof value)
        return 0;
    return value;
}

/* All of a file, packed by gzip or plain. False: it is not there, or damaged. */
static inline bool read_gzip(struct buffer *to, const char *path)
{
    gzFile file = gzopen(path, "rb");
    char bytes[65536];
    int size;

    to->limit_bytes = 1 << 28;
    if (!file)
        return false;
    while ((size = gzread(file, bytes, sizeof bytes)) > 0)
        if (!buffer_append(to, span_of(bytes, (size_t)size)))
            abort();
    gzclose(file);
    return size == 0;
}

#endif
