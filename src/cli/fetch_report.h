/*
 * fetch_report.h - what happened to each URL, as lines for people or as JSON, one object a line.
 *
 * Lines are gathered and written once a round of the loop. What came from outside is escaped: no
 * line has a control character in it. On a terminal no line is longer than it is wide; who draws
 * something there is told before and after.
 */
#ifndef DEJUNK_CLI_FETCH_REPORT_H
#define DEJUNK_CLI_FETCH_REPORT_H

#include "cli/fetch_job.h"

struct fetch_report {                    // lives inside its owner
    void (*before_writing)(void *owner); // may be NULL, as is the next
    void (*after_writing)(void *owner);
    void *owner;
    struct loop *loop; // fetch_report.c only, from here
    const struct fetch_plan *plan;
    int fd;
    bool is_terminal, is_broken;
    int why; // errno
    struct buffer text;
    struct loop_task soon;
};

void fetch_report_init(struct fetch_report *report, struct loop *loop,
                       const struct fetch_plan *plan, int fd);
/* Writes what is left. False when not everything could be written; then `why` is set. */
bool fetch_report_done(struct fetch_report *report);

void fetch_report_started(struct fetch_report *report, const struct fetch_job *job);
void fetch_report_head(struct fetch_report *report, const struct fetch_job *job,
                       const struct fetch_head *head);
void fetch_report_again(struct fetch_report *report, const struct fetch_job *job,
                        const struct fetch_again *again);
/* `sha256` is "" where there was no body to hash; `end` and `why` are words. */
void fetch_report_end(struct fetch_report *report, const struct fetch_job *job, const char *end,
                      const char *why, const char *sha256, const struct fetch_result *result);
void fetch_report_summary(struct fetch_report *report, const struct fetch_counts *counts,
                          uint64_t duration_ms);

/* "12.3 kB", "5 bytes". Returns `to`. */
enum { FETCH_AMOUNT_ROOM = 24 };
const char *fetch_amount_text(char to[FETCH_AMOUNT_ROOM], uint64_t bytes);

#endif
