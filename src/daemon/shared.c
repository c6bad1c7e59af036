#include "daemon/shared.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE_BYTES = 2 * 4096,
    ALL_BYTES = (SHARED_PAGES + 1) * PAGE_BYTES,
};

struct head { // the first page
    uint64_t layout;
    _Atomic int32_t owners[SHARED_PAGES]; // pid of a master; 0: free
};

_Static_assert(sizeof(struct head) <= PAGE_BYTES, "the head fits");
_Static_assert(sizeof(struct metrics) <= PAGE_BYTES, "a worker's counters fit");

struct shared {
    int fd;
    char *at;
};

/* The same rows in the same order: names, labels and kinds, hashed (FNV-1a). */
static uint64_t layout_now(void)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < METRICS_COUNT; i++) {
        const struct metric_row *row = metric_row((enum metric)i);
        const char *const texts[] = { row->name, row->labels };

        for (size_t t = 0; t < 2; t++)
            for (const char *c = texts[t]; *c; c++)
                hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
        hash = (hash ^ (uint64_t)row->kind) * 0x100000001b3u;
    }
    return (hash ^ sizeof(struct metrics)) * 0x100000001b3u;
}

static struct head *head_of(const struct shared *shared)
{
    return (struct head *)shared->at;
}

/* NULL when it cannot be mapped; the descriptor is then still the caller's. */
static struct shared *map(int fd, struct error *error)
{
    struct shared *shared;
    void *at = mmap(NULL, ALL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED) {
        error_errno(error, ERROR_SYSTEM, "cannot map shared memory");
        return NULL;
    }
    shared = malloc(sizeof *shared);
    if (!shared)
        abort();
    *shared = (struct shared){ fd, at };
    return shared;
}

enum error_kind shared_new(struct shared **out, struct error *error)
{
    int fd = memfd_create("dejunk-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct shared *shared = NULL;

    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "no shared memory");
    if (ftruncate(fd, ALL_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        error_errno(error, ERROR_SYSTEM, "no shared memory");
    else
        shared = map(fd, error);
    if (!shared) {
        close(fd);
        return ERROR_SYSTEM;
    }
    head_of(shared)->layout = layout_now();
    *out = shared;
    return ERROR_NONE;
}

enum error_kind shared_open(struct shared **out, int fd, struct error *error)
{
    struct stat about;
    int seals = fcntl(fd, F_GET_SEALS), copy;
    struct shared *shared;

    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &about) < 0)
        return error_set(error, ERROR_CORRUPT, "counters that are not sealed memory");
    if (about.st_size != ALL_BYTES)
        return error_set(error, ERROR_UNSUPPORTED, "counters of another version");
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return error_errno(error, ERROR_SYSTEM, "no descriptor for the counters");
    shared = map(copy, error);
    if (!shared) {
        close(copy);
        return ERROR_SYSTEM;
    }
    if (head_of(shared)->layout != layout_now()) {
        shared_free(&shared);
        return error_set(error, ERROR_UNSUPPORTED, "counters of another version");
    }
    *out = shared;
    return ERROR_NONE;
}

void shared_free(struct shared **shared)
{
    if (!*shared)
        return;
    munmap((*shared)->at, ALL_BYTES);
    close((*shared)->fd);
    free(*shared);
    *shared = NULL;
}

int shared_fd(const struct shared *shared)
{
    return shared->fd;
}

uint64_t shared_size_bytes(void)
{
    return ALL_BYTES;
}

struct metrics *shared_metrics(struct shared *shared, int page)
{
    assert(page >= 0 && page < SHARED_PAGES);
    return (struct metrics *)(shared->at + (size_t)(page + 1) * PAGE_BYTES);
}

/* A predecessor that was killed never gave its pages back. */
static bool is_deserted(int32_t pid)
{
    return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

int shared_take_page(struct shared *shared)
{
    struct head *head = head_of(shared);

    for (int i = 0; i < SHARED_PAGES; i++) {
        int32_t owner = atomic_load(&head->owners[i]);

        if (owner != 0 && !is_deserted(owner))
            continue;
        if (!atomic_compare_exchange_strong(&head->owners[i], &owner, getpid()))
            continue;
        metrics_reset_gauges(shared_metrics(shared, i));
        return i;
    }
    return -1;
}

void shared_give_page(struct shared *shared, int page)
{
    assert(page >= 0 && page < SHARED_PAGES);
    metrics_reset_gauges(shared_metrics(shared, page));
    atomic_store(&head_of(shared)->owners[page], 0);
}

void shared_keep_only(struct shared *shared, int page)
{
    size_t before = (size_t)(page + 1) * PAGE_BYTES, after = before + PAGE_BYTES;

    assert(page >= 0 && page < SHARED_PAGES);
    munmap(shared->at, before);
    if (after < ALL_BYTES)
        munmap(shared->at + after, ALL_BYTES - after);
    close(shared->fd);
    shared->fd = -1;
}

uint64_t shared_sum(const struct shared *shared, enum metric metric)
{
    uint64_t sum = 0;

    for (int i = 0; i < SHARED_PAGES; i++)
        sum += metrics_get((const struct metrics *)(shared->at + (size_t)(i + 1) * PAGE_BYTES),
                           metric);
    return sum;
}

void shared_hosts(const struct shared *shared, struct host_totals *totals)
{
    for (int i = 0; i < SHARED_PAGES; i++) {
        const char *at = shared->at + (size_t)(i + 1) * PAGE_BYTES;
        host_totals_add(totals, &((const struct metrics *)(const void *)at)->hosts);
    }
    host_totals_sort(totals);
}
