/*
 * overview.h - everything that is shown of the service, in one place, and its plain forms.
 *
 * Filled in by admin.c when somebody asks; the pages, the metrics and `dejunk status` are all made
 * from it. Knows nothing of who asks.
 */
#ifndef DEJUNK_ADMIN_OVERVIEW_H
#define DEJUNK_ADMIN_OVERVIEW_H

#include "admin/lists.h"
#include "admin/passbook.h"
#include "base/metrics.h"
#include "proxy/learned.h"
#include "state/config.h"

enum { OVERVIEW_REASON_BYTES = 500, OVERVIEW_HOSTS = 20 }; // so many hosts are shown

struct overview_state {  // what the master says
    bool is_known;       // it has said anything
    bool is_signing;     // the signer has an authority: https can be opened
    bool is_serving;     // all workers came up, and this is the service (not one that takes over)
    bool is_succeeded;   // another process is the service now
    uint64_t generation; // of the config in force
    uint64_t reloads, failed_reloads;
    uint64_t reload_number;  // of the newest reload asked for by admin that is finished
    uint64_t passes_number;  // of the newest passes pushed by admin that all workers have
    uint64_t last_reload_ms; // since 1970; 0: none yet
    uint64_t restarts;
    uint32_t workers, ready_workers;
    uint64_t started_ms;                        // since 1970
    char reload_problem[OVERVIEW_REASON_BYTES]; // of the last reload; empty: it went well
};

struct overview_processes { // all of the service together
    size_t count;
    uint64_t resident_bytes, virtual_bytes, cpu_ms, open_descriptors;
    uint64_t descriptor_limit; // of each
};

struct overview {
    uint64_t now_ms; // since 1970
    struct overview_state state;
    uint64_t counters[METRICS_COUNT]; // of all workers
    struct host_totals hosts;         // of all workers, the most first
    struct lists lists;
    struct proxy_passes passes; // borrowed
    enum intercept_mode intercept;
    struct learned_counts learned;
    struct overview_processes processes;
};

/* Requests of all kinds, and those stopped. */
uint64_t overview_requests(const struct overview *overview);
/* Whose https is opened: "for 2 enrolled clients", "for no client: there is no authority". */
enum { OVERVIEW_HTTPS_BYTES = 64 };
const char *overview_https(const struct overview *overview, char *to);
/* How long every request is let through still: ms, 0 when there is no pause. */
uint64_t overview_pause_ms(const struct overview *overview);

/* "3 d 4 h", "5 min", "12 s"; returns `to`. */
enum { OVERVIEW_TIME_BYTES = 32 };
const char *overview_duration(uint64_t ms, char *to);
/* "1.2 GB"; returns `to`. */
const char *overview_size(uint64_t bytes, char *to);

/* For `dejunk status`. False when `out` is full. */
bool overview_write_text(struct buffer *out, const struct overview *overview);
bool overview_write_json(struct buffer *out, const struct overview *overview);

/* Appends `text` as a JSON string, with its quotes; bytes that are no ASCII become \u00HH. */
bool overview_put_json_string(struct buffer *out, struct span text);

#endif
