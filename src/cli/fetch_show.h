/*
 * fetch_show.h - the progress display at the foot of a terminal: a line for each transfer, and all.
 *
 *     file-a.iso    [=======>            ]  38%  1.20 GB  85.1 MB/s     0:23
 *     file-b.iso    [=>                  ]   9%  12.1 MB  2.20 MB/s     0:55
 *     2 under way, 7 done, 1 failed              1.31 GB  87.3 MB/s     1:10
 *
 * Redrawn a few times a second and taken away before anything else is written there, and at the
 * end. Where standard error is no terminal, it does nothing.
 */
#ifndef DEJUNK_CLI_FETCH_SHOW_H
#define DEJUNK_CLI_FETCH_SHOW_H

#include "cli/fetch_job.h"
#include "cli/fetch_line.h"

enum { FETCH_SHOW_LINES = 20 }; // at most; fewer on a low terminal

struct fetch_show { // lives inside its owner; fetch_show.c only
    struct loop *loop;
    const struct fetch_jobs *jobs;
    const struct fetcher *fetcher;
    bool is_on, was_drawn;
    struct loop_timer timer;
    size_t line_count, line_bytes[FETCH_SHOW_LINES]; // that are drawn
    uint64_t began_ms, drawn_ms;
    uint64_t then_bytes, then_ms; // of all, for the speed
    double bytes_s;
};

void fetch_show_init(struct fetch_show *show, struct loop *loop, const struct fetch_jobs *jobs,
                     const struct fetcher *fetcher);
/* Takes it away until it is drawn again. */
void fetch_show_erase(struct fetch_show *show);
void fetch_show_draw(struct fetch_show *show);
/* The same, but only when it was drawn before. */
void fetch_show_redraw(struct fetch_show *show);
/* Takes it away for good. */
void fetch_show_done(struct fetch_show *show);

#endif
