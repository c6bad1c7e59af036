/*
 * fetch_input.h - the URLs to fetch, one after the other: from arguments, files, standard input.
 *
 * Read as they are needed, so that their number costs nothing. A pipe that has nothing to say yet
 * stops nobody: on_more comes when it goes on. Empty lines, and lines that begin with '#', are no
 * URLs.
 */
#ifndef DEJUNK_CLI_FETCH_INPUT_H
#define DEJUNK_CLI_FETCH_INPUT_H

#include "io/loop.h"

enum {
    FETCH_INPUT_LINE_BYTES = 16384, // of a longer line only so much is given: no URL is as long
    FETCH_INPUT_FILES = 100,
};

enum fetch_input_answer { FETCH_INPUT_URL, FETCH_INPUT_WAIT, FETCH_INPUT_END, FETCH_INPUT_FAILED };

struct fetch_input { // fetch_input.c only
    struct loop *loop;
    void (*on_more)(void *owner);
    void *owner;
    char **arguments;
    int argument_count, argument_at;
    const char *const *files;
    size_t file_count, file_at;
    int fd; // -1: no file is open
    bool is_watched, skips_line, has_ended;
    ev_io watch;
    struct buffer held;
    size_t held_at;
};

/* `arguments` first ("-" is standard input), then `files` ("-" as well). All borrowed. */
void fetch_input_init(struct fetch_input *input, struct loop *loop, char **arguments,
                      int argument_count, const char *const *files, size_t file_count,
                      void (*on_more)(void *owner), void *owner);
void fetch_input_done(struct fetch_input *input);

/* *url is borrowed until the next call. After FETCH_INPUT_WAIT on_more() comes once. FAILED: a file
 * could not be read, which *error says; going on is possible. */
enum fetch_input_answer fetch_input_next(struct fetch_input *input, struct span *url,
                                         struct error *error);

/* How much of all there is was taken, from 0 to 1; -1 where it cannot be told (a pipe). */
double fetch_input_share(const struct fetch_input *input);

#endif
