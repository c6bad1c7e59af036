/*
 * fetch_line.h - one line of the progress display, in as many columns as there are.
 *
 * Numbers in, text out; knows no terminal. What matters less goes first where it is narrow: the
 * bar, the share, the speed, the time left; the name is cut at its front. Only printable ASCII
 * comes out, so that a byte is a column.
 */
#ifndef DEJUNK_CLI_FETCH_LINE_H
#define DEJUNK_CLI_FETCH_LINE_H

#include "base/bytes.h"

enum {
    FETCH_LINE_COLUMNS = 250, // of a wider terminal no more are used
    FETCH_LINE_ROOM = FETCH_LINE_COLUMNS + 1,
};
#define FETCH_LINE_UNKNOWN UINT64_MAX

struct fetch_line {
    struct span name;
    uint64_t bytes, whole_bytes; // whole_bytes may be unknown, as may left_s
    uint64_t bytes_s;
    uint64_t left_s;
    bool has_bar; // else the room for it is the name's
};

/* At most `columns` bytes and a NUL; returns how many. */
size_t fetch_line_write(char to[FETCH_LINE_ROOM], size_t columns, const struct fetch_line *line);

/* "0:07", "12:34", "1:02:03", "3 d", or "-" where it is unknown. Returns `to`. */
enum { FETCH_TIME_ROOM = 16 };
const char *fetch_time_text(char to[FETCH_TIME_ROOM], uint64_t seconds);

#endif
