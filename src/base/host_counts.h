/*
 * host_counts.h - what was kept from browsers, by the site it was for: a few rows that do not grow.
 *
 * A worker counts in rows in shared memory, without locks; whoever shows them adds up the rows of
 * all workers. When all rows are taken, the one with the least in it makes room: the sites that
 * matter stay. Zeroed memory is a good empty table. Knows nothing of pages or requests.
 */
#ifndef DEJUNK_BASE_HOST_COUNTS_H
#define DEJUNK_BASE_HOST_COUNTS_H

#include <stdatomic.h>

#include "base/bytes.h"

enum host_count {
    HOST_REQUESTS,          // that were stopped
    HOST_BYTES_NOT_FETCHED, // for them
    HOST_BYTES_REMOVED,     // from its pages
    HOST_ELEMENTS_REMOVED,
    HOST_COUNTS
};

enum { HOST_ROWS = 64, HOST_NAME_BYTES = 64, HOST_TOTALS = 256 };

struct host_row {             // host_counts.c only
    _Atomic uint32_t version; // odd: it is being given to another host
    uint32_t name_size;
    char name[HOST_NAME_BYTES];
    _Atomic uint64_t counts[HOST_COUNTS];
};

struct host_rows { // of one worker, who alone writes
    struct host_row rows[HOST_ROWS];
};

/* Of a name longer than HOST_NAME_BYTES the end counts. */
void host_rows_add(struct host_rows *rows, struct span host, const uint64_t counts[HOST_COUNTS]);

struct host_total {
    char name[HOST_NAME_BYTES + 1];
    uint64_t counts[HOST_COUNTS];
};

struct host_totals {
    struct host_total items[HOST_TOTALS];
    size_t count;
};

/* Adds the rows of one worker; hosts beyond HOST_TOTALS are left out. */
void host_totals_add(struct host_totals *totals, const struct host_rows *rows);
/* Those with the most requests and elements first. */
void host_totals_sort(struct host_totals *totals);

#endif
