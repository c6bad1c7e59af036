#include "cli/fetch_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    DRAW_MS = 100,
    FIRST_DRAW_MS = 200, // what is over before is not worth it
    SPEED_MS = 500,      // between two measurements
    SCREEN_BYTES = FETCH_SHOW_LINES * (FETCH_LINE_ROOM + 8) + 64,
    LEAST_COLUMNS = 12,
};

static bool window(struct winsize *size)
{
    return ioctl(STDERR_FILENO, TIOCGWINSZ, size) == 0 && size->ws_col >= LEAST_COLUMNS &&
           size->ws_row >= 3;
}

static void put(const struct buffer *screen)
{
    (void)!write(STDERR_FILENO, screen->at,
                 screen->size); // of a terminal that is gone nothing is left
}

/* To the beginning of what is drawn, and that away. In a terminal that has become narrower each
 * line may have become several. */
static void append_erase(struct fetch_show *show, struct buffer *screen)
{
    struct winsize size;
    size_t up = 0;

    if (show->line_count == 0)
        return;
    if (!window(&size))
        size.ws_col = FETCH_LINE_COLUMNS;
    for (size_t i = 0; i < show->line_count; i++) {
        size_t bytes = show->line_bytes[i] ? show->line_bytes[i] : 1;
        up += (bytes - 1) / size.ws_col + 1;
    }
    buffer_printf(screen, "\r");
    if (up > 1)
        buffer_printf(screen, "\033[%zuA", up - 1);
    buffer_printf(screen, "\033[J");
    show->line_count = 0;
}

void fetch_show_erase(struct fetch_show *show)
{
    struct buffer screen = { .limit_bytes = SCREEN_BYTES };

    if (!show->is_on || show->line_count == 0)
        return;
    append_erase(show, &screen);
    put(&screen);
    buffer_release(&screen);
}

static void append_line(struct fetch_show *show, struct buffer *screen, size_t columns,
                        const struct fetch_line *line)
{
    char text[FETCH_LINE_ROOM];
    size_t size = fetch_line_write(text, columns, line);

    buffer_printf(screen, "%s%s", show->line_count ? "\r\n" : "", text);
    show->line_bytes[show->line_count++] = size;
}

static uint64_t left_s(uint64_t bytes, uint64_t whole, uint64_t bytes_s)
{
    if (whole == UINT64_MAX || bytes_s == 0)
        return FETCH_LINE_UNKNOWN;
    return bytes >= whole ? 0 : (whole - bytes + bytes_s - 1) / bytes_s;
}

static bool is_shown(const struct fetch_job *job)
{
    return job->is_started && !job->is_waiting && !job->is_over;
}

static struct span name_of(const struct fetch_job *job)
{
    struct span url = buffer_span(&job->url);
    size_t scheme = span_find(url, SPAN("://"));

    if (job->name[0])
        return span_text(job->file.name[0] ? job->file.name : job->name);
    return scheme < url.size ? span_from(url, scheme + 3) : url;
}

static void append_job(struct fetch_show *show, struct buffer *screen, size_t columns,
                       const struct fetch_job *job)
{
    uint64_t taken_ms = loop_now_ms(show->loop) - job->started_ms;
    uint64_t got = job->bytes - job->first_byte;
    struct fetch_line line = {
        .name = name_of(job),
        .bytes = job->bytes,
        .whole_bytes = job->whole_bytes,
        .bytes_s = got * 1000 / (taken_ms ? taken_ms : 1),
        .has_bar = true,
    };

    line.left_s = left_s(line.bytes, line.whole_bytes, line.bytes_s);
    append_line(show, screen, columns, &line);
}

/* Of all: what is known of those under way when these are the last, else by how much of the input
 * has ended in how much time. */
static uint64_t all_left_s(const struct fetch_show *show)
{
    const struct fetch_jobs *jobs = show->jobs;
    uint64_t passed_ms = loop_now_ms(show->loop) - show->began_ms, left_bytes = 0;
    uint64_t ended = jobs->counts.urls - jobs->count;
    double share = fetch_input_share(jobs->input);

    if (jobs->input_has_ended) {
        for (const struct fetch_job *job = jobs->first; job; job = job->next) {
            if (!job->is_over && (!is_shown(job) || job->whole_bytes == UINT64_MAX))
                left_bytes = UINT64_MAX / 2;
            else if (!job->is_over && job->whole_bytes > job->bytes && left_bytes < UINT64_MAX / 2)
                left_bytes += job->whole_bytes - job->bytes;
        }
        if (left_bytes < UINT64_MAX / 2)
            return left_s(0, left_bytes, (uint64_t)show->bytes_s);
    }
    if (share < 0 || ended == 0 || jobs->counts.urls == 0)
        return FETCH_LINE_UNKNOWN;
    share *= (double)ended / (double)jobs->counts.urls;
    return (uint64_t)((double)passed_ms / 1000 * (1 - share) / share + 1);
}

static void measure(struct fetch_show *show)
{
    uint64_t now = loop_now_ms(show->loop), bytes = fetcher_wire_bytes(show->fetcher);
    uint64_t passed = now - show->then_ms;

    if (passed < SPEED_MS && show->bytes_s > 0)
        return;
    if (passed > 0) {
        double speed = (double)(bytes - show->then_bytes) * 1000 / (double)passed;
        show->bytes_s = show->bytes_s > 0 ? 0.6 * show->bytes_s + 0.4 * speed : speed;
    }
    show->then_ms = now;
    show->then_bytes = bytes;
}

static void append_all(struct fetch_show *show, struct buffer *screen, size_t columns,
                       size_t under_way)
{
    const struct fetch_counts *counts = &show->jobs->counts;
    uint64_t ended = counts->urls - show->jobs->count;
    uint64_t done = counts->ends[FETCH_DONE];
    struct fetch_line line = {
        .bytes = counts->bytes,
        .whole_bytes = FETCH_LINE_UNKNOWN,
        .bytes_s = (uint64_t)show->bytes_s,
        .left_s = all_left_s(show),
    };
    char name[80];

    for (const struct fetch_job *job = show->jobs->first; job; job = job->next)
        if (!job->is_over)
            line.bytes += job->bytes - job->first_byte;
    if (columns < 72) // where there is room for three digits with the word
        snprintf(name, sizeof name, done < 1000 ? "%llu done" : "%llu", (unsigned long long)done);
    else
        snprintf(name, sizeof name, "%zu under way, %llu done, %llu failed", under_way,
                 (unsigned long long)done, (unsigned long long)(ended > done ? ended - done : 0));
    line.name = span_text(name);
    append_line(show, screen, columns, &line);
}

void fetch_show_draw(struct fetch_show *show)
{
    struct buffer screen = { .limit_bytes = SCREEN_BYTES };
    struct winsize size;
    size_t under_way = 0, most, shown = 0, columns;

    if (!show->is_on)
        return;
    show->was_drawn = true;
    show->drawn_ms = loop_now_ms(show->loop);
    append_erase(show, &screen);
    if (window(&size)) {
        columns = size.ws_col - 1u; // the last column is left alone: some terminals wrap behind it
        most = size.ws_row - 2u;
        if (most > FETCH_SHOW_LINES - 1)
            most = FETCH_SHOW_LINES - 1;
        measure(show);
        for (const struct fetch_job *job = show->jobs->first; job; job = job->next) {
            if (!is_shown(job))
                continue;
            under_way++;
            if (shown < most) {
                append_job(show, &screen, columns, job);
                shown++;
            }
        }
        append_all(show, &screen, columns, under_way);
    }
    put(&screen);
    buffer_release(&screen);
}

void fetch_show_redraw(struct fetch_show *show)
{
    // Where much is written it is gone in between, and comes back by its timer.
    if (show->was_drawn && loop_now_ms(show->loop) - show->drawn_ms >= DRAW_MS / 2)
        fetch_show_draw(show);
}

static void on_tick(void *owner)
{
    struct fetch_show *show = owner;

    fetch_show_draw(show);
    loop_timer_set(&show->timer, DRAW_MS);
}

void fetch_show_init(struct fetch_show *show, struct loop *loop, const struct fetch_jobs *jobs,
                     const struct fetcher *fetcher)
{
    const char *term = getenv("TERM");

    *show = (struct fetch_show){ .loop = loop, .jobs = jobs, .fetcher = fetcher };
    loop_timer_init(&show->timer, loop, on_tick, show);
    show->began_ms = show->then_ms = loop_now_ms(loop);
    // Bodies on a terminal are not drawn over.
    show->is_on = isatty(STDERR_FILENO) &&
                  !(jobs->plan->sink == FETCH_TO_OUTPUT && isatty(STDOUT_FILENO)) && term &&
                  *term && strcmp(term, "dumb") != 0;
    if (show->is_on)
        loop_timer_set(&show->timer, FIRST_DRAW_MS);
}

void fetch_show_done(struct fetch_show *show)
{
    fetch_show_erase(show);
    loop_timer_stop(&show->timer);
    show->is_on = false;
}
