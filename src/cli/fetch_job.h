/*
 * fetch_job.h - the URLs under way: each with its hash, its file and its place among the others.
 *
 * Takes URLs from the input as places become free, at most a few more than may be under way, so
 * that their number costs nothing; tells the report what happened and forgets each when it has
 * ended. With bodies to standard output they come out in the order of the URLs: what comes out of
 * turn waits in a temporary file without a name.
 */
#ifndef DEJUNK_CLI_FETCH_JOB_H
#define DEJUNK_CLI_FETCH_JOB_H

#include <openssl/evp.h>

#include "cli/fetch_input.h"
#include "cli/fetch_plan.h"

enum {
    FETCH_POUR_BYTES = 1024 * 1024, // waiting for standard output, of whose turn it is
    FETCH_DEJUNK_BYTES = 1024,      // of what is told of it
};

struct fetch_report;

struct fetch_job { // read by report and show; written by fetch_job.c
    struct fetch_jobs *jobs;
    struct fetch *fetch;
    uint64_t number;   // of its URL, from 1
    struct buffer url; // as it was given
    uint64_t started_ms;
    uint64_t bytes;              // of the body that are here, with those from before
    uint64_t first_byte;         // those from before
    uint64_t whole_bytes;        // UINT64_MAX: not known
    bool is_started, is_waiting; // has had a token; rests before another attempt
    unsigned status;
    char dejunk[FETCH_DEJUNK_BYTES]; // what a dejunk on the way says that it did, or ""

    EVP_MD_CTX *hash;
    struct fetch_file file;
    struct fetch_facts facts; // of the answer
    struct buffer canonical;  // its URL without credentials: what a note beside a file says
    char name[FETCH_NAME_ROOM];
    bool has_file;   // it was kept, or was there before
    bool keeps_body; // of the answer under way
    bool is_over;    // it has ended, and its body waits for its turn
    bool is_anew;    // nothing that was there before counts any more
    bool is_probing; // what comes is compared with what is there, at `probed`
    uint64_t probed;

    int spool; // -1: none
    uint64_t spool_put, spool_taken;

    struct fetch_job *next, *previous; // by number
    struct loop_task step;
};

struct fetch_counts {
    uint64_t urls, done, unchanged, bytes;
    uint64_t ends[FETCH_ENDS];
    uint64_t bad_status; // done, with a status of 400 or more
    uint64_t interrupted;
};

struct fetch_jobs { // lives inside its owner; fetch_job.c only, but for what is said
    struct loop *loop;
    struct fetcher *fetcher;
    const struct fetch_plan *plan;
    struct fetch_input *input;
    struct fetch_report *report;
    void (*on_all_ended)(void *owner);
    void *owner;
    struct fetch_job *first, *last; // by number; read by show
    struct fetch_job *free;
    size_t count, window;
    uint64_t number;
    struct fetch_counts counts; // read by all
    bool input_has_ended, input_waits, input_failed, is_stopping, output_is_lost;
    EVP_MD *sha256;
    ev_io output; // standard output takes more
    bool output_is_watched;
    struct loop_task fill, over;
};

/* Nothing happens before fetch_jobs_start(). All pointers are borrowed. */
void fetch_jobs_init(struct fetch_jobs *jobs, struct loop *loop, struct fetcher *fetcher,
                     const struct fetch_plan *plan, struct fetch_input *input,
                     struct fetch_report *report, void (*on_all_ended)(void *owner), void *owner);
void fetch_jobs_start(struct fetch_jobs *jobs);
/* The input has more to say. */
void fetch_jobs_more(struct fetch_jobs *jobs);
/* Ends those under way and takes no more; on_all_ended() comes. */
void fetch_jobs_stop(struct fetch_jobs *jobs);
void fetch_jobs_done(struct fetch_jobs *jobs);

#endif
