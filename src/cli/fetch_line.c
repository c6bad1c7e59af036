#include "cli/fetch_line.h"

#include <stdio.h>

#include "cli/fetch_report.h"

enum {
    AMOUNT = 9, // "999 bytes"
    SPEED = 11,
    TIME = 8, // "99:59:59"
    SHARE = 4,
    BAR = 22,
    NAME_LEAST = 8, // below that something else goes
};

const char *fetch_time_text(char to[FETCH_TIME_ROOM], uint64_t seconds)
{
    unsigned long long s = seconds;

    if (seconds == FETCH_LINE_UNKNOWN)
        snprintf(to, FETCH_TIME_ROOM, "-");
    else if (s < 3600)
        snprintf(to, FETCH_TIME_ROOM, "%llu:%02llu", s / 60, s % 60);
    else if (s < 100 * 3600)
        snprintf(to, FETCH_TIME_ROOM, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else if (s < UINT64_C(10000) * 86400)
        snprintf(to, FETCH_TIME_ROOM, "%llu d", s / 86400);
    else
        snprintf(to, FETCH_TIME_ROOM, "-");
    return to;
}

static void put_right(char *to, const char *text, size_t room)
{
    size_t size = strlen(text);

    if (size > room)
        size = room;
    memset(to, ' ', room - size);
    memcpy(to + room - size, text, size);
}

static void put_name(char *to, struct span name, size_t room)
{
    size_t cut = name.size > room ? name.size - room : 0;

    memset(to, ' ', room);
    for (size_t i = 0; i + cut < name.size; i++) {
        char c = name.at[i + cut];
        to[i] = c >= 0x20 && c < 0x7f ? c : '?';
    }
    if (cut && room > 2) // its end tells more than its beginning
        memcpy(to, "..", 2);
}

static unsigned share_of(const struct fetch_line *line)
{
    if (line->whole_bytes == 0 || line->bytes >= line->whole_bytes)
        return 100;
    return (unsigned)((double)line->bytes * 100 / (double)line->whole_bytes);
}

static void put_bar(char *to, unsigned share)
{
    size_t full = (BAR - 2) * share / 100;

    memset(to, ' ', BAR);
    to[0] = '[';
    to[BAR - 1] = ']';
    memset(to + 1, '=', full);
    if (full < BAR - 2)
        to[1 + full] = '>';
}

size_t fetch_line_write(char to[FETCH_LINE_ROOM], size_t columns, const struct fetch_line *line)
{
    char text[FETCH_AMOUNT_ROOM + 4], time[FETCH_TIME_ROOM];
    bool knows_whole = line->whole_bytes != FETCH_LINE_UNKNOWN;
    size_t name, at;
    // What is shown, from what is missed most to what is missed least.
    bool amount, left, speed, share, bar;

    if (columns > FETCH_LINE_COLUMNS)
        columns = FETCH_LINE_COLUMNS;
    name = columns;
#define TAKE(size) (name >= NAME_LEAST + (size) + 1 ? (name -= (size) + 1, true) : false)
    amount = TAKE(AMOUNT);
    speed = amount && TAKE(SPEED);
    left = amount && TAKE(TIME);
    share = left && line->has_bar && TAKE(SHARE);
    bar = share && name >= 2 * NAME_LEAST + BAR && TAKE(BAR);
#undef TAKE
    put_name(to, line->name, name);
    at = name;
    if (bar) {
        to[at++] = ' ';
        memset(to + at, ' ', BAR);
        if (knows_whole)
            put_bar(to + at, share_of(line));
        at += BAR;
    }
    if (share) {
        snprintf(text, sizeof text, "%u%%", share_of(line));
        to[at++] = ' ';
        put_right(to + at, knows_whole ? text : "", SHARE);
        at += SHARE;
    }
    if (amount) {
        to[at++] = ' ';
        put_right(to + at, fetch_amount_text(text, line->bytes), AMOUNT);
        at += AMOUNT;
    }
    if (speed) {
        fetch_amount_text(text, line->bytes_s);
        memcpy(text + strlen(text), "/s", 3);
        to[at++] = ' ';
        put_right(to + at, text, SPEED);
        at += SPEED;
    }
    if (left) {
        to[at++] = ' ';
        put_right(to + at, fetch_time_text(time, line->left_s), TIME);
        at += TIME;
    }
    to[at] = '\0';
    return at;
}
