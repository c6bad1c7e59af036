#include "cli/talk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/control_line.h"
#include "cli/say.h"
#include "state/config_value.h"

enum { PIECE_BYTES = 64 * 1024, FIRST_LINE_BYTES = 1024, TRIES = 10, TRY_AGAIN_MS = 50 };

bool talk_take(struct talk *talk, int letter, const char *value)
{
    if (letter == 's') {
        talk->socket = value;
        return true;
    }
    return settings_take(&talk->settings, letter, value);
}

/* ---- where the socket is ---- */

/* The value of `runtime_dir = "..."` on a line of its own, or SPAN_NONE. */
static struct span runtime_dir_in(struct span line)
{
    size_t end;

    line = span_trim(line);
    if (!span_starts(line, SPAN("runtime_dir")))
        return SPAN_NONE;
    line = span_trim(span_from(line, strlen("runtime_dir")));
    if (!span_starts(line, SPAN("=")))
        return SPAN_NONE;
    line = span_trim(span_from(line, 1));
    if (!span_starts(line, SPAN("\"")))
        return line;
    line = span_from(line, 1);
    end = span_find_byte(line, '"');
    return end < line.size ? span_slice(line, 0, end) : SPAN_NONE;
}

/* Of a config that does not parse: as in one that does, the last word counts. */
static struct span runtime_dir_of(const struct config_sources *sources)
{
    struct span found = SPAN_NONE;

    for (size_t i = 0; i < sources->count; i++) {
        struct span text = sources->items[i].text;

        while (text.size > 0) {
            size_t end = span_find_byte(text, '\n');
            struct span value = runtime_dir_in(span_slice(text, 0, end));

            if (config_is_path(value))
                found = value;
            text = span_from(text, end < text.size ? end + 1 : end);
        }
    }
    return found;
}

static bool find_socket(struct talk *talk, char *path, size_t size)
{
    struct config_sources sources = { .count = 0 };
    struct config nothing = { .references = 1 };
    struct config *config = NULL;
    struct error error;
    bool is_found;

    settings_find(&talk->settings);
    if (talk->settings.count > SETTINGS ||
        config_sources_read(&sources, talk->settings.path, talk->settings.items,
                            talk->settings.count, &error) != ERROR_NONE)
        sources.count = 0; // as if there were none; the socket may be at its usual place
    else if (config_parse(&config, &sources, &error) != ERROR_NONE)
        nothing.runtime_dir = runtime_dir_of(&sources);
    is_found = admin_control_path(path, size, config ? config : &nothing);
    config_unref(&config);
    if (sources.count > 0)
        config_sources_done(&sources);
    if (!is_found)
        say_error("no runtime directory is known; say --socket PATH");
    return is_found;
}

/* ---- talking ---- */

/* What came of one try. A service that is being replaced is there again in a moment. */
enum outcome { ANSWERED, GONE, HOPELESS };

static enum outcome connect_to(const char *path, bool was_there, int *out)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd, code;

    if (strlen(path) >= sizeof name.sun_path) {
        say_error("the path of the control socket is too long: %s", path);
        return HOPELESS;
    }
    memcpy(name.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name) == 0) {
        *out = fd;
        return ANSWERED;
    }
    code = errno;
    if (fd >= 0)
        close(fd);
    if (code == ECONNREFUSED || code == EAGAIN || (code == ENOENT && was_there))
        return GONE;
    if (code == ENOENT)
        say_error("no dejunk is running here: nobody listens at %s", path);
    else
        say_error("cannot connect to %s: %s", path, strerror(code));
    return HOPELESS;
}

static enum outcome send_line(int fd, const char *line)
{
    char text[CONTROL_LINE_BYTES + 2];
    int size = snprintf(text, sizeof text, "%s\n", line);
    ssize_t sent;

    if (size < 0 || (size_t)size >= sizeof text) {
        say_error("that is too long");
        return HOPELESS;
    }
    do
        sent = send(fd, text, (size_t)size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == size ? ANSWERED : GONE;
}

static ssize_t take_some(int fd, char *to, size_t size)
{
    ssize_t got;

    do
        got = recv(fd, to, size, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Up to its first line feed; false when there is none. What came behind it stays in `first`. */
static bool take_first_line(int fd, struct buffer *first, size_t *size)
{
    char piece[FIRST_LINE_BYTES];

    for (;;) {
        ssize_t got;

        *size = span_find_byte(buffer_span(first), '\n');
        if (*size < first->size)
            return true;
        got = take_some(fd, piece, sizeof piece);
        if (got <= 0 || !buffer_append(first, span_of(piece, (size_t)got)))
            return false;
    }
}

static int show_rest(int fd, struct span first)
{
    char piece[PIECE_BYTES];
    ssize_t got;

    fwrite(first.at, 1, first.size, stdout);
    while ((got = take_some(fd, piece, sizeof piece)) > 0)
        if (fwrite(piece, 1, (size_t)got, stdout) != (size_t)got || fflush(stdout) != 0)
            break;
    return say_finish();
}

static enum outcome show_answer(int fd, int refused, int *exit_code)
{
    struct buffer first = { .limit_bytes = 4 * FIRST_LINE_BYTES };
    struct span line;
    size_t size;

    if (!take_first_line(fd, &first, &size)) {
        buffer_release(&first);
        return GONE;
    }
    line = span_slice(buffer_span(&first), 0, size);
    if (span_equal(line, SPAN("ok"))) {
        *exit_code = show_rest(fd, span_from(buffer_span(&first), size + 1));
    } else {
        if (span_starts(line, SPAN("error ")))
            line = span_from(line, 6);
        say_error("%.*s", SPAN_PRINT(line));
        *exit_code = refused;
    }
    buffer_release(&first);
    return ANSWERED;
}

static enum outcome try_once(const char *path, bool was_there, const char *line, int refused,
                             int *exit_code)
{
    int fd = -1;
    enum outcome outcome = connect_to(path, was_there, &fd);

    if (outcome == ANSWERED)
        outcome = send_line(fd, line);
    if (outcome == ANSWERED)
        outcome = show_answer(fd, refused, exit_code);
    if (fd >= 0)
        close(fd);
    return outcome;
}

int talk_show(struct talk *talk, const char *line, int refused)
{
    const struct timespec wait = { 0, TRY_AGAIN_MS * 1000000 };
    char path[PATH_MAX];
    int exit_code = EX_UNAVAILABLE;

    if (talk->socket)
        snprintf(path, sizeof path, "%s", talk->socket);
    else if (!find_socket(talk, path, sizeof path))
        return EX_CONFIG;
    for (int i = 0; i < TRIES; i++) {
        if (i > 0)
            nanosleep(&wait, NULL);
        if (try_once(path, i > 0, line, refused, &exit_code) != GONE)
            return exit_code;
    }
    say_error("no dejunk is running here: nobody answers at %s", path);
    return EX_UNAVAILABLE;
}

/* ---- lines ---- */

bool talk_add_word(char *line, size_t size, const char *word)
{
    size_t used = strlen(line);
    bool is_word = word[0] != '\0';
    int added;

    for (const char *at = word; *at; at++)
        is_word = is_word && *at > ' ' && *at < 0x7f;
    if (!is_word) {
        say_error("\"%s\" is no host name or address", word);
        return false;
    }
    added = snprintf(line + used, size - used, " %s", word);
    if (added < 0 || (size_t)added >= size - used) {
        say_error("that is too long");
        return false;
    }
    return true;
}

bool talk_add_time(char *line, size_t size, const char *text)
{
    char number[32];
    uint64_t ms;

    if (!config_read_duration(span_text(text), &ms) || ms == 0 || ms > CONTROL_LONGEST_MS) {
        say_error("\"%s\" is no time such as 30s, 10m, 2h or 7d (366d at most)", text);
        return false;
    }
    snprintf(number, sizeof number, "%" PRIu64, ms);
    return talk_add_word(line, size, number);
}
