#include "cli/fetch_input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 32768 };

static void unwatch(struct fetch_input *input)
{
    if (input->is_watched)
        ev_io_stop(input->loop->ev, &input->watch);
    input->is_watched = false;
}

static void on_readable(struct ev_loop *ev, ev_io *watch, int events)
{
    struct fetch_input *input = watch->data;

    (void)ev;
    (void)events;
    unwatch(input);
    input->on_more(input->owner);
}

void fetch_input_init(struct fetch_input *input, struct loop *loop, char **arguments,
                      int argument_count, const char *const *files, size_t file_count,
                      void (*on_more)(void *owner), void *owner)
{
    *input = (struct fetch_input){
        .loop = loop,
        .on_more = on_more,
        .owner = owner,
        .arguments = arguments,
        .argument_count = argument_count,
        .files = files,
        .file_count = file_count,
        .fd = -1,
    };
    input->held.limit_bytes = FETCH_INPUT_LINE_BYTES + READ_BYTES;
}

static void close_file(struct fetch_input *input)
{
    unwatch(input);
    if (input->fd > STDIN_FILENO)
        close(input->fd);
    input->fd = -1;
}

void fetch_input_done(struct fetch_input *input)
{
    close_file(input);
    buffer_release(&input->held);
}

static enum error_kind open_file(struct fetch_input *input, const char *path, struct error *error)
{
    input->has_ended = input->skips_line = false;
    input->held.size = input->held_at = 0;
    if (strcmp(path, "-") == 0) {
        input->fd = STDIN_FILENO;
        return ERROR_NONE;
    }
    input->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot read %s", path);
    return ERROR_NONE;
}

/* A whole line out of what is held, or its beginning where it is too long. */
static bool take_line(struct fetch_input *input, struct span *line)
{
    struct span rest = span_from(buffer_span(&input->held), input->held_at);
    size_t end = span_find_byte(rest, '\n');

    if (input->skips_line) { // what is left of one that was too long
        input->held_at += end + (end < rest.size);
        input->skips_line = end == rest.size;
        return !input->skips_line && take_line(input, line);
    }
    if (end == rest.size && !(input->has_ended && rest.size) && rest.size < FETCH_INPUT_LINE_BYTES)
        return false;
    input->skips_line = end == rest.size && !input->has_ended;
    *line = span_slice(rest, 0, end < FETCH_INPUT_LINE_BYTES ? end : FETCH_INPUT_LINE_BYTES);
    input->held_at += end + (end < rest.size);
    return true;
}

enum fill_answer { FILLED, FILL_LATER, FILL_FAILED };

static enum fill_answer fill(struct fetch_input *input, struct error *error)
{
    struct pollfd poll_for = { .fd = input->fd, .events = POLLIN };
    ssize_t got;

    buffer_consume(&input->held, input->held_at);
    input->held_at = 0;
    if (poll(&poll_for, 1, 0) == 0) {
        ev_io_init(&input->watch, on_readable, input->fd, EV_READ);
        input->watch.data = input;
        ev_io_start(input->loop->ev, &input->watch);
        input->is_watched = true;
        return FILL_LATER;
    }
    if (!buffer_reserve(&input->held, READ_BYTES))
        return FILLED; // cannot be: a line is taken before that
    do {
        got = read(input->fd, input->held.at + input->held.size, READ_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        error_errno(error, ERROR_SYSTEM, "cannot read %s",
                    input->fd == STDIN_FILENO ? "standard input" : "a list of URLs");
        return FILL_FAILED;
    }
    input->held.size += (size_t)got;
    input->has_ended = got == 0;
    return FILLED;
}

/* The next argument or file; true when it is a URL by itself. */
static enum fetch_input_answer next_source(struct fetch_input *input, struct span *url,
                                           struct error *error)
{
    const char *path;

    if (input->argument_at < input->argument_count) {
        path = input->arguments[input->argument_at++];
        if (strcmp(path, "-") != 0) {
            *url = span_text(path);
            return FETCH_INPUT_URL;
        }
    } else if (input->file_at < input->file_count) {
        path = input->files[input->file_at++];
    } else {
        return FETCH_INPUT_END;
    }
    return open_file(input, path, error) ? FETCH_INPUT_FAILED : FETCH_INPUT_WAIT;
}

enum fetch_input_answer fetch_input_next(struct fetch_input *input, struct span *url,
                                         struct error *error)
{
    enum fetch_input_answer answer;
    struct span line;

    if (input->is_watched)
        return FETCH_INPUT_WAIT;
    for (;;) {
        if (input->fd < 0) {
            answer = next_source(input, url, error);
            if (answer != FETCH_INPUT_WAIT)
                return answer;
        }
        while (take_line(input, &line)) {
            if (line.size && line.at[line.size - 1] == '\r')
                line.size--;
            line = span_trim(line);
            if (line.size && line.at[0] != '#') {
                *url = line;
                return FETCH_INPUT_URL;
            }
        }
        if (input->has_ended) {
            close_file(input);
            continue;
        }
        switch (fill(input, error)) {
        case FILLED:
            break;
        case FILL_LATER:
            return FETCH_INPUT_WAIT;
        case FILL_FAILED:
            close_file(input);
            return FETCH_INPUT_FAILED;
        }
    }
}

double fetch_input_share(const struct fetch_input *input)
{
    size_t sources = (size_t)input->argument_count + input->file_count;
    size_t begun = (size_t)input->argument_at + input->file_at;
    double within = 0;

    if (input->fd >= 0) {
        struct stat about;
        off_t at = lseek(input->fd, 0, SEEK_CUR);

        if (at < 0 || fstat(input->fd, &about) < 0 || about.st_size <= 0)
            return -1;
        within = (double)(at - (off_t)(input->held.size - input->held_at)) / (double)about.st_size;
        begun--;
    }
    return sources ? ((double)begun + within) / (double)sources : -1;
}
