/*
 * talk - plays whole conversations with a real proxy: what the browser sends, what the origin gets
 * and answers, what must come out at both ends.
 *
 * talk FILE... - each file has conversations (tests/talk/README says how they are written). Each is
 * played whole, byte by byte and cut at random, with a proxy, a browser and origins of its own, on
 * loopback and free ports; many at a time on one loop. At the end of each the proxy must have let
 * go of everything. Speaks TAP. TALK=word plays only those with the word in their name,
 * TALK_SEED=number cuts elsewhere.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "filter/compile.h"
#include "io/listener.h"
#include "proxy/context.h"
#include "proxy/session.h"

enum {
    STEPS = 200,
    PARTIES = 16,     // of one kind in one conversation
    AT_ONCE = 16,     // conversations under way
    STEP_MS = 100000, // for one step; sanitizers on a busy machine are slow
    CONFIG_BYTES = 8192,
};

enum side { BROWSER, ORIGIN, OTHER, SIDES };
static const char *const side_names[] = { "browser", "origin", "other" };

enum verb {
    SENDS,
    SENDS_WHAT_IT_CAN,
    SENDS_BYTES,
    PASSES_TO_BROWSER,
    PASSES_TO_ORIGIN,
    FINISHES,
    CLOSES,
    RESETS,
    GETS,
    GETS_MESSAGE,
    GETS_CHUNKED,
    GETS_PAGE,
    GETS_BYTES,
    GETS_END,
    GETS_RESET,
    GETS_CUT,
    GETS_NOTHING,
    HAS_SMALL_WINDOW,
    CONNECTIONS,
    CONNECTS,
    DRAIN,
    DRAINED,
    CONFIGURE,
    DESCRIPTORS,
};

struct step {
    enum verb verb;
    enum side side;
    unsigned party; // from 0
    unsigned line;
    size_t number;
    struct buffer text;
};

struct script {
    const char *file;
    char *name;
    struct buffer config, rules;
    struct step steps[STEPS];
    size_t step_count;
    bool is_alone; // changes what all share
    bool is_whole; // is about what comes in one piece
    struct script *next;
};

enum mode { WHOLE, BYTES, RANDOM, MODES };
static const char *const mode_names[] = { "whole", "byte by byte", "cut at random" };

struct party {
    int fd; // -1: not there yet
    bool is_closed;
    struct buffer in;
    size_t sent, got; // pattern bytes
};

struct talk {
    struct director *director;
    struct script *script;
    enum mode mode;
    uint32_t chance;
    struct proxy *proxy;
    struct metrics metrics;
    struct compiler *compiler;
    int proxy_fd, listen_fd[SIDES], dead_fd, full_fd, full_fillers[3];
    struct party parties[SIDES][PARTIES];
    size_t accepted[SIDES];
    struct address proxy_address;
    size_t at, at_byte, passed; // step, and what of it is done
    struct buffer sending;      // what this step sends
    struct buffer payload;      // of the chunks that this step gets
    struct loop_timer limit, nothing, soon;
    struct loop_task pump;
    ev_io watch;
    bool nothing_is_over, is_drained, is_over, has_small_window;
    int hoard[1024];
    size_t hoarded;
    char why[2048];
};

struct director {
    struct loop *loop;
    struct script *first, *next; // what to begin next: `next` in mode next_mode
    enum mode next_mode;
    size_t under_way;
    unsigned number, failed;
    const char *only;
    uint32_t seed;
};

/* ---- reading scripts ---- */

static void die(const char *file, unsigned line, const char *why)
{
    fprintf(stderr, "%s:%u: %s\n", file, line, why);
    exit(2);
}

static void append(struct buffer *buffer, struct span bytes)
{
    buffer->limit_bytes = 1 << 26;
    if (!buffer_append(buffer, bytes))
        abort();
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "|" and a blank, then text with \r \n \t \0 \\ \xHH and \*NUMBERc (c so many times); a
 * backslash at the end leaves off the line's CRLF. */
static void take_text(struct buffer *to, const char *at, const char *file, unsigned line)
{
    at += at[1] == ' ' ? 2 : 1;
    for (; *at && *at != '\n'; at++) {
        char c = *at;

        if (c != '\\') {
            append(to, span_of(&c, 1));
            continue;
        }
        switch (*++at) {
        case '\n':
        case '\0':
            return;
        case 'r':
            c = '\r';
            break;
        case 'n':
            c = '\n';
            break;
        case 't':
            c = '\t';
            break;
        case '0':
            c = '\0';
            break;
        case '\\':
            break;
        case 'x':
            if (hex(at[1]) < 0 || hex(at[2]) < 0)
                die(file, line, "\\x wants two digits");
            c = (char)(hex(at[1]) * 16 + hex(at[2]));
            at += 2;
            break;
        case '*': {
            char *end;
            unsigned long times = strtoul(at + 1, &end, 10);
            for (at = end; times > 0; times--)
                append(to, span_of(at, 1));
            continue;
        }
        default:
            die(file, line, "unknown escape");
        }
        append(to, span_of(&c, 1));
    }
    append(to, SPAN("\r\n"));
}

static const struct {
    const char *words;
    enum verb verb;
    bool has_number, has_text;
} verbs[] = {
    { "sends:", SENDS, false, true },
    { "sends what it can:", SENDS_WHAT_IT_CAN, false, true },
    { "sends # bytes", SENDS_BYTES, true, false },
    { "passes # bytes to browser", PASSES_TO_BROWSER, true, false },
    { "passes # bytes to origin", PASSES_TO_ORIGIN, true, false },
    { "finishes", FINISHES, false, false },
    { "closes", CLOSES, false, false },
    { "resets", RESETS, false, false },
    { "gets:", GETS, false, true },
    { "gets message:", GETS_MESSAGE, false, true },
    { "gets chunked:", GETS_CHUNKED, false, true },
    { "gets page #", GETS_PAGE, true, true },
    { "gets # bytes", GETS_BYTES, true, false },
    { "gets end", GETS_END, false, false },
    { "gets reset", GETS_RESET, false, false },
    { "gets cut off", GETS_CUT, false, false },
    { "gets nothing for # ms", GETS_NOTHING, true, false },
    { "has a small window", HAS_SMALL_WINDOW, false, false },
    { "has # connections", CONNECTIONS, true, false },
    { "connects", CONNECTS, false, false },
};

/* Matches `words`, in which # stands for a number. */
static bool matches(const char *at, const char *words, size_t *number)
{
    for (; *words; words++) {
        if (*words == '#') {
            char *end;
            *number = strtoul(at, &end, 10);
            if (end == at)
                return false;
            at = end;
        } else if (*at++ != *words) {
            return false;
        }
    }
    return *at == '\n' || *at == '\0';
}

static bool read_verb(struct step *step, const char *at)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (matches(at, verbs[i].words, &step->number)) {
            step->verb = verbs[i].verb;
            return true;
        }
    return false;
}

/* "browser sends:", "browser2 gets end", "drain within 10 ms" ... */
static bool read_step(struct step *step, const char *at)
{
    static const struct {
        const char *words;
        enum verb verb;
    } others[] = {
        { "drain within # ms", DRAIN },
        { "drained", DRAINED },
        { "configure:", CONFIGURE },
        { "# descriptors are left", DESCRIPTORS },
    };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (matches(at, others[i].words, &step->number)) {
            step->verb = others[i].verb;
            return true;
        }
    for (int side = 0; side < SIDES; side++) {
        size_t size = strlen(side_names[side]);
        char *end;

        if (strncmp(at, side_names[side], size) != 0)
            continue;
        step->side = (enum side)side;
        step->party = (unsigned)strtoul(at + size, &end, 10);
        if (step->party)
            step->party--;
        return step->party < PARTIES && *end == ' ' && read_verb(step, end + 1);
    }
    return false;
}

static char *line_copy(const char *at)
{
    size_t size = strcspn(at, "\n");
    char *copy = malloc(size + 1);

    if (!copy)
        abort();
    memcpy(copy, at, size);
    copy[size] = '\0';
    return copy;
}

static void append_line(struct buffer *to, const char *at)
{
    append(to, span_of(at, strcspn(at, "\n")));
    append(to, SPAN("\n"));
}

static void read_script_line(struct script *script, const char *at, unsigned line)
{
    struct step *step = script->step_count ? &script->steps[script->step_count - 1] : NULL;

    if (*at == '|') {
        if (!step)
            die(script->file, line, "text without a step");
        if (step->verb == GETS_PAGE || step->verb == CONFIGURE)
            append_line(&step->text, at + (at[1] == ' ' ? 2 : 1));
        else
            take_text(&step->text, at, script->file, line);
    } else if (strncmp(at, "config: ", 8) == 0) {
        append_line(&script->config, at + 8);
    } else if (strncmp(at, "rules: ", 7) == 0) {
        append_line(&script->rules, at + 7);
    } else if (strncmp(at, "alone\n", 6) == 0) {
        script->is_alone = true;
    } else if (strncmp(at, "whole\n", 6) == 0) {
        script->is_whole = true;
    } else {
        if (script->step_count == STEPS)
            die(script->file, line, "too many steps");
        step = &script->steps[script->step_count++];
        step->line = line;
        if (!read_step(step, at))
            die(script->file, line, "what is this?");
    }
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct buffer text = { 0 };
    char piece[4096];
    size_t got;

    if (!file)
        die(path, 0, strerror(errno));
    while ((got = fread(piece, 1, sizeof piece, file)) > 0)
        append(&text, span_of(piece, got));
    append(&text, span_of("", 1));
    fclose(file);
    return text.at;
}

static struct script **read_scripts(const char *path, struct script **last)
{
    char *text = read_file(path);
    struct script *script = NULL;
    unsigned number = 0;

    for (const char *at = text; *at; at += strcspn(at, "\n") + 1) {
        number++;
        if (*at == '#' || *at == '\n')
            continue;
        if (strncmp(at, "== ", 3) == 0) {
            script = calloc(1, sizeof *script);
            if (!script)
                abort();
            script->file = path;
            script->name = line_copy(at + 3);
            *last = script;
            last = &script->next;
        } else if (!script) {
            die(path, number, "a line outside of a conversation");
        } else {
            read_script_line(script, at, number);
        }
    }
    free(text);
    return last;
}

static void free_scripts(struct script *script)
{
    while (script) {
        struct script *next = script->next;

        for (size_t i = 0; i < script->step_count; i++)
            buffer_release(&script->steps[i].text);
        buffer_release(&script->config);
        buffer_release(&script->rules);
        free(script->name);
        free(script);
        script = next;
    }
}

/* ---- a conversation's places ---- */

static void pump(void *owner);

static void fail(struct talk *talk, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct talk *talk, const char *format, ...)
{
    va_list arguments;

    if (talk->why[0])
        return;
    va_start(arguments, format);
    vsnprintf(talk->why, sizeof talk->why, format, arguments);
    va_end(arguments);
    loop_later(talk->director->loop, &talk->pump);
}

/* Bytes for a message to a person. */
static const char *show(struct span bytes, char *to, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < bytes.size && used + 8 < size; i++) {
        unsigned char c = (unsigned char)bytes.at[i];
        if (c == '\r')
            used += (size_t)snprintf(to + used, size - used, "\\r");
        else if (c == '\n')
            used += (size_t)snprintf(to + used, size - used, "\\n");
        else if (c < ' ' || c > '~')
            used += (size_t)snprintf(to + used, size - used, "\\x%02x", c);
        else
            to[used++] = (char)c;
    }
    to[used] = '\0';
    return to;
}

static uint16_t port_of(int fd)
{
    struct address address;
    struct error error;

    if (listener_address(fd, &address, &error))
        abort();
    return address_port(&address);
}

static int listen_somewhere(void)
{
    struct address any;
    struct error error;
    int fd;

    address_parse(&any, SPAN("127.0.0.1"), 0);
    if (listener_open(&fd, &any, false, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return fd;
}

static int stream_socket(void)
{
    static const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        perror("socket");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* A port where nobody listens, and one where nobody accepts. */
static void open_bad_ports(struct talk *talk)
{
    struct address at;

    address_parse(&at, SPAN("127.0.0.1"), 0);
    talk->dead_fd = stream_socket();
    talk->full_fd = stream_socket();
    if (bind(talk->dead_fd, &at.any, address_size(&at)) ||
        bind(talk->full_fd, &at.any, address_size(&at)) || listen(talk->full_fd, 0))
        abort();
    address_set_port(&at, port_of(talk->full_fd));
    for (int i = 0; i < 3; i++) {
        talk->full_fillers[i] = stream_socket();
        (void)connect(talk->full_fillers[i], &at.any, address_size(&at));
    }
}

/* {origin} {other} {dead} {full} {proxy}: 127.0.0.1:PORT; with "port" in front only the port. */
static void expand(const struct talk *talk, struct span text, struct buffer *out)
{
    const struct {
        const char *name;
        int fd;
    } places[] = { { "origin}", talk->listen_fd[ORIGIN] },
                   { "other}", talk->listen_fd[OTHER] },
                   { "dead}", talk->dead_fd },
                   { "full}", talk->full_fd },
                   { "proxy}", talk->proxy_fd } };

    out->size = 0;
    for (size_t i = 0; i < text.size; i++) {
        struct span rest = span_from(text, i + 1);
        bool is_port = text.at[i] == '{' && span_starts(rest, SPAN("port "));
        size_t place = 0, count = sizeof places / sizeof *places;
        char number[32];

        if (is_port)
            rest = span_from(rest, 5);
        while (place < count &&
               (text.at[i] != '{' || !span_starts(rest, span_text(places[place].name))))
            place++;
        if (place == count) {
            append(out, span_slice(text, i, 1));
            continue;
        }
        snprintf(number, sizeof number, "%s%u",
                 is_port ? "" : "127.0.0.1:", port_of(places[place].fd));
        append(out, span_text(number));
        i += strlen(places[place].name) + (is_port ? 5 : 0);
    }
}

static enum error_kind make_config(struct talk *talk, struct span own, struct config **out,
                                   struct error *error)
{
    struct config_sources sources = { .count = 2 };
    struct buffer text = { 0 };
    struct config_source items[2] = {
        { SPAN("base"),
          SPAN("allow_destinations = {\"127.0.0.0/8\"}\nconnect_ports = {\"1-65535\"}\n"
               "gpc = no\nvia = no\nrequest_header_timeout = 300s\n") },
        { SPAN("talk"), SPAN_NONE },
    };
    enum error_kind kind;

    append(&text, SPAN("\n"));
    expand(talk, own, &text);
    items[1].text = buffer_span(&text);
    sources.items = items;
    kind = config_parse(out, &sources, error);
    buffer_release(&text);
    return kind;
}

static void add_rule(void *owner, const struct rule *rule, uint32_t line)
{
    compiler_add(owner, rule, line);
}

static void use_rules(struct talk *talk)
{
    struct list_reader reader = { .is_trusted = true, .on_rule = add_rule };
    struct compile_counts counts;
    struct list_summary summary;
    struct database *database;
    struct error error;
    struct span image;

    talk->compiler = reader.owner = compiler_new();
    compiler_begin_list(talk->compiler, SPAN("talk"));
    list_read(&summary, &reader, buffer_span(&talk->script->rules));
    if (compiler_finish(talk->compiler, &image, &counts, &error) ||
        database_open(&database, image, &error)) {
        fail(talk, "rules: %s", error.text);
        return;
    }
    proxy_use_rules(talk->proxy, database);
    database_unref(&database);
}

static void start_proxy(struct talk *talk)
{
    struct proxy_setup setup = {
        .loop = talk->director->loop,
        .metrics = &talk->metrics,
        .resolv_conf = SPAN("nameserver 127.0.0.1\n"),
        .hosts = SPAN("127.0.0.1 origin.test ads.test dead.test\n10.1.2.3 rebound.test\n"
                      "127.0.0.1 home.lan\n"),
        .via_pseudonym = SPAN("tester"),
    };
    struct error error;

    talk->proxy_fd = listen_somewhere();
    if (listener_address(talk->proxy_fd, &talk->proxy_address, &error))
        abort();
    if (make_config(talk, buffer_span(&talk->script->config), &setup.config, &error)) {
        fail(talk, "config: %s", error.text);
        return;
    }
    if (proxy_new(&talk->proxy, &setup, &error) ||
        proxy_listen(talk->proxy, talk->proxy_fd, &error))
        fail(talk, "proxy: %s", error.text);
    config_unref(&setup.config);
    if (talk->proxy && talk->script->rules.size)
        use_rules(talk);
}

/* ---- steps ---- */

static void on_watch(struct ev_loop *ev, ev_io *watch, int events)
{
    (void)events;
    ev_io_stop(ev, watch);
    pump(watch->data);
}

/* Comes back when the descriptor is ready. */
static void wait_for(struct talk *talk, int fd, int events)
{
    ev_io_stop(talk->director->loop->ev, &talk->watch);
    ev_io_set(&talk->watch, fd, events);
    ev_io_start(talk->director->loop->ev, &talk->watch);
}

static void on_limit(void *owner)
{
    struct talk *talk = owner;
    const struct step *step = &talk->script->steps[talk->at];
    struct party *party = &talk->parties[step->side][step->party];
    char in[700], payload[300];

    if (talk->at == talk->script->step_count)
        fail(talk,
             "the proxy holds on: %zu busy, %zu idle, %zu tunnels, %zu in the gate, %zu waiting",
             talk->proxy->busy_sessions.count, talk->proxy->idle_sessions.count,
             talk->proxy->tunnels, talk->proxy->total_gate.held, talk->proxy->total_gate.waiting);
    else
        fail(talk, "nothing more comes; so far %zu: %s payload %zu: %s", party->in.size,
             show(buffer_span(&party->in), in, sizeof in), talk->payload.size,
             show(buffer_span(&talk->payload), payload, sizeof payload));
}

static void on_nothing_over(void *owner)
{
    struct talk *talk = owner;

    talk->nothing_is_over = true;
    ev_io_stop(talk->director->loop->ev, &talk->watch);
    loop_later(talk->director->loop, &talk->pump);
}

/* True: the party's connection is there. */
static bool is_there(struct talk *talk, const struct step *step)
{
    struct party *party = &talk->parties[step->side][step->party];

    if (party->fd >= 0)
        return true;
    if (party->is_closed) {
        fail(talk, "it has closed its connection");
        return false;
    }
    if (step->side == BROWSER) {
        party->fd = stream_socket();
        if (talk->has_small_window) {
            int bytes = 4096;
            setsockopt(party->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
        }
        if (connect(party->fd, &talk->proxy_address.any, address_size(&talk->proxy_address)) < 0 &&
            errno != EINPROGRESS)
            fail(talk, "connect: %s", strerror(errno));
        return true;
    }
    while (talk->accepted[step->side] <= step->party) {
        int fd = accept4(talk->listen_fd[step->side], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        static const int on = 1;
        if (fd < 0) {
            wait_for(talk, talk->listen_fd[step->side], EV_READ);
            return false;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        talk->parties[step->side][talk->accepted[step->side]++].fd = fd;
    }
    return true;
}

/* Bytes of a head, pieces of a long body. */
#define PIECE_OF(whole) ((whole) > 5000 ? (whole) / 100 : 1)

static char pattern(size_t at)
{
    return (char)('a' + (at + at / 251) % 26);
}

/* How much is sent at once. */
static size_t cut(struct talk *talk, size_t left, size_t whole)
{
    size_t most = left;

    if (talk->mode == BYTES)
        most = PIECE_OF(whole);
    else if (talk->mode == RANDOM) {
        talk->chance = talk->chance * 1664525u + 1013904223u;
        most = 1 + (talk->chance >> 8) % (whole > 5000 ? 3 * 64 * 1024 : 40);
    }
    return most < left ? most : left;
}

enum progress { DONE, WAITS, AGAIN_SOON };

/* At most `left` bytes of the pattern; -1 when nothing could be sent. */
static ssize_t send_pattern(struct party *party, size_t left)
{
    char bytes[65536];
    ssize_t sent;

    if (left > sizeof bytes)
        left = sizeof bytes;
    for (size_t i = 0; i < left; i++)
        bytes[i] = pattern(party->sent + i);
    sent = send(party->fd, bytes, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        party->sent += (size_t)sent;
    return sent;
}

static enum progress send_some(struct talk *talk, struct party *party, struct span bytes,
                               size_t whole)
{
    const struct step *next = &talk->script->steps[talk->at + 1];
    size_t size = cut(talk, bytes.size, whole);
    ssize_t sent = send(party->fd, bytes.at, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET) &&
        talk->at + 1 < talk->script->step_count && next->verb == GETS_CUT)
        return DONE; // that is what it gets
    if (sent < 0 && errno != EAGAIN && errno != ENOTCONN) {
        fail(talk, "send: %s", strerror(errno));
        return WAITS;
    }
    if (sent <= 0) {
        wait_for(talk, party->fd, EV_WRITE);
        return WAITS;
    }
    talk->at_byte += (size_t)sent;
    return AGAIN_SOON;
}

/* The other side wants no more. */
static bool has_broken(const struct party *party)
{
    char byte;
    ssize_t got = recv(party->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return got == 0 || (got < 0 && errno != EAGAIN && errno != ENOTCONN);
}

static enum progress do_send(struct talk *talk, const struct step *step, struct party *party)
{
    if (talk->at_byte == 0)
        expand(talk, buffer_span(&step->text), &talk->sending);
    if (talk->at_byte == talk->sending.size ||
        (step->verb == SENDS_WHAT_IT_CAN && has_broken(party)))
        return DONE;
    return send_some(talk, party, span_from(buffer_span(&talk->sending), talk->at_byte),
                     talk->sending.size);
}

static bool has_failed_to_send(ssize_t sent)
{
    return sent < 0 && errno != EAGAIN && errno != ENOTCONN;
}

static enum progress do_send_pattern(struct talk *talk, const struct step *step,
                                     struct party *party)
{
    size_t left = step->number - talk->at_byte;
    ssize_t sent;

    if (left == 0)
        return DONE;
    sent = send_pattern(party, cut(talk, left, step->number));
    if (has_failed_to_send(sent)) {
        if (talk->at + 1 < talk->script->step_count && step[1].verb == GETS_CUT)
            return DONE; // that is what it gets
        fail(talk, "send: %s", strerror(errno));
        return WAITS;
    }
    if (sent <= 0) {
        wait_for(talk, party->fd, EV_WRITE);
        return WAITS;
    }
    talk->at_byte += (size_t)sent;
    return AGAIN_SOON;
}

enum reading { READ_SOME, READ_WAITS, READ_END, READ_RESET };

/* Reads at most so many bytes more into party->in. */
static enum reading read_some(struct talk *talk, struct party *party, size_t most)
{
    char bytes[65536];
    ssize_t got = recv(party->fd, bytes, most < sizeof bytes ? most : sizeof bytes, MSG_DONTWAIT);

    if (got > 0) {
        append(&party->in, span_of(bytes, (size_t)got));
        return READ_SOME;
    }
    if (got == 0)
        return READ_END;
    if (errno == EAGAIN || errno == ENOTCONN) {
        wait_for(talk, party->fd, EV_READ);
        return READ_WAITS;
    }
    return READ_RESET;
}

/* Reads until party->in has so many bytes. */
static bool read_up_to(struct talk *talk, struct party *party, size_t size)
{
    while (party->in.size < size) {
        char in[1500];
        switch (read_some(talk, party, size - party->in.size)) {
        case READ_SOME:
            break;
        case READ_WAITS:
            return false;
        case READ_END:
        case READ_RESET:
            fail(talk, "the connection ended; before that came: %s",
                 show(buffer_span(&party->in), in, sizeof in));
            return false;
        }
    }
    return true;
}

static enum progress do_get(struct talk *talk, const struct step *step, struct party *party)
{
    struct buffer want = { 0 };
    char a[900], b[900];
    enum progress progress = WAITS;
    size_t have;

    expand(talk, buffer_span(&step->text), &want);
    if (read_up_to(talk, party, want.size))
        progress = DONE;
    have = party->in.size < want.size ? party->in.size : want.size;
    if (memcmp(party->in.at ? party->in.at : "", want.at ? want.at : "", have) != 0) {
        talk->why[0] = '\0';
        fail(talk, "want %s  got %s", show(buffer_span(&want), a, sizeof a),
             show(buffer_span(&party->in), b, sizeof b));
        progress = WAITS;
    }
    if (progress == DONE)
        buffer_consume(&party->in, want.size);
    buffer_release(&want);
    return progress;
}

/* The value of a field in a head, or SPAN_NONE. */
static struct span field_of(struct span head, struct span name)
{
    for (size_t at = 0; at < head.size;) {
        struct span line = span_from(head, at);
        line.size = span_find(line, SPAN("\r\n"));
        at += line.size + 2;
        if (span_starts_nocase(line, name) && line.size > name.size && line.at[name.size] == ':')
            return span_trim(span_from(line, name.size + 1));
    }
    return SPAN_NONE;
}

enum whole { WHOLE_MORE, WHOLE_YES, WHOLE_BAD };

/* Decodes chunks from `at` on into out; *used is where they end. */
static enum whole dechunk(struct span in, size_t at, struct buffer *out, size_t *used)
{
    for (;;) {
        struct span rest = span_from(in, at);
        size_t end = span_find(rest, SPAN("\r\n")), digits = 0, size = 0;

        if (end == rest.size)
            return WHOLE_MORE;
        while (digits < end && hex(rest.at[digits]) >= 0)
            size = size * 16 + (size_t)hex(rest.at[digits++]);
        if (digits != end || digits == 0)
            return WHOLE_BAD; // no extensions, no blanks: we write none
        at += end + 2;
        if (size == 0)
            break;
        if (in.size - at < size + 2)
            return WHOLE_MORE;
        append(out, span_slice(in, at, size));
        at += size;
        if (memcmp(in.at + at, "\r\n", 2) != 0)
            return WHOLE_BAD;
        at += 2;
    }
    for (;;) { // trailers
        struct span rest = span_from(in, at);
        size_t end = span_find(rest, SPAN("\r\n"));

        if (end == rest.size)
            return WHOLE_MORE;
        append(out, span_slice(rest, 0, end + 2));
        at += end + 2;
        if (end == 0)
            break;
    }
    *used = at;
    return WHOLE_YES;
}

/* One message: its head, then its body and trailers without chunks, into out. */
static enum whole take_message(struct span in, bool has_body, struct buffer *out, size_t *used)
{
    size_t end = span_find(in, SPAN("\r\n\r\n"));
    struct span head, length;
    uint64_t size = 0;

    out->size = 0;
    if (end == in.size)
        return WHOLE_MORE;
    head = span_slice(in, 0, end + 4);
    append(out, head);
    *used = head.size;
    if (span_equal_nocase(field_of(head, SPAN("Transfer-Encoding")), SPAN("chunked")))
        return dechunk(in, head.size, out, used);
    length = field_of(head, SPAN("Content-Length"));
    if (length.at && !span_to_u64(length, &size))
        return WHOLE_BAD;
    if (!has_body)
        size = 0;
    if (in.size - head.size < size)
        return WHOLE_MORE;
    append(out, span_slice(in, head.size, (size_t)size));
    *used = head.size + (size_t)size;
    return WHOLE_YES;
}

/* Reads a whole message into `out`; its bytes leave party->in. */
static bool get_message(struct talk *talk, struct party *party, bool has_body, struct buffer *out)
{
    for (;;) {
        size_t used = 0;
        char text[1500];

        switch (take_message(buffer_span(&party->in), has_body, out, &used)) {
        case WHOLE_YES:
            buffer_consume(&party->in, used);
            return true;
        case WHOLE_BAD:
            fail(talk, "badly framed: %s", show(buffer_span(&party->in), text, sizeof text));
            return false;
        case WHOLE_MORE:
            break;
        }
        if (!read_up_to(talk, party, party->in.size + 1))
            return false;
    }
}

static enum progress do_get_message(struct talk *talk, const struct step *step, struct party *party)
{
    struct buffer raw = { 0 }, want = { 0 }, got = { 0 };
    char a[900], b[900];
    enum progress progress = WAITS;
    size_t used;

    expand(talk, buffer_span(&step->text), &raw);
    if (take_message(buffer_span(&raw), true, &want, &used) != WHOLE_YES || used != raw.size) {
        fail(talk, "what is wanted is no whole message");
    } else if (get_message(talk, party, true, &got)) {
        if (span_equal(buffer_span(&want), buffer_span(&got)))
            progress = DONE;
        else
            fail(talk, "want %s  got %s", show(buffer_span(&want), a, sizeof a),
                 show(buffer_span(&got), b, sizeof b));
    }
    buffer_release(&raw);
    buffer_release(&want);
    buffer_release(&got);
    return progress;
}

static enum progress do_get_page(struct talk *talk, const struct step *step, struct party *party)
{
    struct buffer got = { 0 }, want = { 0 };
    enum progress progress = WAITS;
    char text[1500], status[16];

    expand(talk, buffer_span(&step->text), &want);
    snprintf(status, sizeof status, " %zu ", step->number);
    if (get_message(talk, party, span_find(buffer_span(&want), SPAN("(no body)\n")) == want.size,
                    &got)) {
        progress = DONE;
        if (got.size < 13 || memcmp(got.at + 8, status, strlen(status)) != 0) {
            fail(talk, "want a page of %zu, got %s", step->number,
                 show(buffer_span(&got), text, sizeof text));
            progress = WAITS;
        }
        for (size_t at = 0; at < want.size && progress == DONE;) {
            struct span line = span_from(buffer_span(&want), at);
            line.size = span_find_byte(line, '\n');
            at += line.size + 1;
            if (!span_equal(line, SPAN("(no body)")) && line.size &&
                span_find(buffer_span(&got), line) == got.size) {
                fail(talk, "no \"%.*s\" in %s", SPAN_PRINT(line),
                     show(buffer_span(&got), text, sizeof text));
                progress = WAITS;
            }
        }
    }
    buffer_release(&got);
    buffer_release(&want);
    return progress;
}

/* Chunks, but not yet the last one. */
static enum progress do_get_chunked(struct talk *talk, const struct step *step, struct party *party)
{
    struct buffer want = { 0 };
    char a[900], b[900];
    bool goes_on = true;

    expand(talk, buffer_span(&step->text), &want);
    while (goes_on && talk->payload.size < want.size) {
        struct span in = buffer_span(&party->in);
        size_t end = span_find(in, SPAN("\r\n")), size = 0;

        for (size_t i = 0; i < end && end < in.size; i++)
            size = size * 16 + (size_t)hex(in.at[i]);
        if (end == in.size || in.size < end + 2 + size + 2) {
            goes_on = read_up_to(talk, party, in.size + 1);
            continue;
        }
        if (size == 0) {
            fail(talk, "the last chunk comes too early");
            break;
        }
        append(&talk->payload, span_slice(in, end + 2, size));
        buffer_consume(&party->in, end + 2 + size + 2);
    }
    if (talk->payload.size >= want.size &&
        !span_equal(buffer_span(&want), buffer_span(&talk->payload)))
        fail(talk, "want %s  got %s", show(buffer_span(&want), a, sizeof a),
             show(buffer_span(&talk->payload), b, sizeof b));
    goes_on = goes_on && !talk->why[0];
    buffer_release(&want);
    return goes_on ? DONE : WAITS;
}

static enum progress do_get_pattern(struct talk *talk, const struct step *step, struct party *party)
{
    while (talk->at_byte < step->number) {
        size_t left = step->number - talk->at_byte;

        if (party->in.size == 0 && !read_up_to(talk, party, left < 65536 ? 1 : 1))
            return WAITS;
        if (party->in.size < left)
            left = party->in.size;
        for (size_t i = 0; i < left; i++)
            if (party->in.at[i] != pattern(party->got + i)) {
                fail(talk, "byte %zu is not what was sent", party->got + i);
                return WAITS;
            }
        party->got += left;
        talk->at_byte += left;
        buffer_consume(&party->in, left);
        if (talk->at_byte < step->number &&
            read_some(talk, party, step->number - talk->at_byte) == READ_WAITS)
            return WAITS;
    }
    return DONE;
}

/* One sends while the other reads, so that nothing but the proxy need hold what is under way. */
static enum progress do_pass(struct talk *talk, const struct step *step, struct party *from,
                             struct party *to)
{
    char in[65536];
    size_t left = step->number - talk->passed;
    ssize_t got;

    if (talk->passed < step->number) {
        ssize_t sent = send_pattern(from, cut(talk, left, step->number));
        if (has_failed_to_send(sent)) {
            fail(talk, "send: %s", strerror(errno));
            return WAITS;
        }
        talk->passed += sent > 0 ? (size_t)sent : 0;
    }
    got = recv(to->fd, in, sizeof in, MSG_DONTWAIT);
    for (ssize_t i = 0; i < got; i++)
        if (in[i] != pattern(to->got + (size_t)i)) {
            fail(talk, "byte %zu is not what was sent", to->got + (size_t)i);
            return WAITS;
        }
    if (got > 0) {
        to->got += (size_t)got;
        talk->at_byte += (size_t)got;
    } else if (got == 0 || errno != EAGAIN) {
        fail(talk, "the other side's connection ended");
        return WAITS;
    } else if (talk->passed == step->number) {
        wait_for(talk, to->fd, EV_READ);
        return WAITS;
    } else {
        loop_timer_set(&talk->soon, 1); // both ends wait for the proxy
        return WAITS;
    }
    return talk->at_byte < step->number ? AGAIN_SOON : DONE;
}

static enum progress do_get_ending(struct talk *talk, const struct step *step, struct party *party)
{
    char in[1500];
    enum reading how = party->in.size ? READ_SOME : read_some(talk, party, 1000);

    switch (how) {
    case READ_WAITS:
        return WAITS;
    case READ_SOME:
        fail(talk, "instead of its end: %s", show(buffer_span(&party->in), in, sizeof in));
        return WAITS;
    case READ_END:
        if (step->verb == GETS_RESET) {
            fail(talk, "ended in order, not by a reset");
            return WAITS;
        }
        break;
    case READ_RESET:
        if (step->verb == GETS_END) {
            fail(talk, "ended by a reset, not in order");
            return WAITS;
        }
        break;
    }
    return DONE;
}

static enum progress do_get_nothing(struct talk *talk, const struct step *step, struct party *party)
{
    char in[900];

    if (!loop_timer_is_set(&talk->nothing) && !talk->nothing_is_over)
        loop_timer_set(&talk->nothing, step->number);
    if (party->in.size || read_some(talk, party, 1000) != READ_WAITS) {
        fail(talk, "it gets something, or its end: %s",
             show(buffer_span(&party->in), in, sizeof in));
        return WAITS;
    }
    if (!talk->nothing_is_over)
        return WAITS;
    ev_io_stop(talk->director->loop->ev, &talk->watch);
    talk->nothing_is_over = false;
    return DONE;
}

static void close_party(struct party *party, bool reset)
{
    static const struct linger at_once = { .l_onoff = 1 };

    if (party->fd < 0)
        return;
    if (reset)
        setsockopt(party->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(party->fd);
    party->fd = -1;
    party->is_closed = true;
}

static enum progress count_connections(struct talk *talk, const struct step *step)
{
    for (;;) {
        int fd = accept4(talk->listen_fd[step->side], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        if (talk->accepted[step->side] == PARTIES)
            abort();
        talk->parties[step->side][talk->accepted[step->side]++].fd = fd;
    }
    if (talk->accepted[step->side] == step->number)
        return DONE;
    fail(talk, "it has %zu connections", talk->accepted[step->side]);
    return WAITS;
}

static void on_drained(void *owner)
{
    struct talk *talk = owner;

    talk->is_drained = true;
    loop_later(talk->director->loop, &talk->pump);
}

static void configure(struct talk *talk, const struct step *step)
{
    struct config *config;
    struct error error;

    if (make_config(talk, buffer_span(&step->text), &config, &error)) {
        fail(talk, "config: %s", error.text);
        return;
    }
    if (proxy_configure(talk->proxy, config, &error))
        fail(talk, "configure: %s", error.text);
    config_unref(&config);
}

/* Takes all descriptors but a few, or gives them back (0 are left: none but those). */
static void leave_descriptors(struct talk *talk, size_t count)
{
    struct rlimit limit;
    int fd;

    while (talk->hoarded > 0)
        close(talk->hoard[--talk->hoarded]);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    if (count < 1000) {
        fd = dup(0);
        limit.rlim_cur = (rlim_t)fd + 1 + 100;
        close(fd);
    }
    setrlimit(RLIMIT_NOFILE, &limit);
    if (count >= 1000)
        return;
    while (talk->hoarded < 1024 && (fd = dup(0)) >= 0)
        talk->hoard[talk->hoarded++] = fd;
    while (count-- > 0 && talk->hoarded > 0)
        close(talk->hoard[--talk->hoarded]);
}

static enum progress act(struct talk *talk, const struct step *step)
{
    struct party *party = &talk->parties[step->side][step->party];

    switch (step->verb) {
    case HAS_SMALL_WINDOW:
        talk->has_small_window = true;
        return DONE;
    case CONNECTIONS:
        return count_connections(talk, step);
    case DRAIN:
        proxy_drain(talk->proxy, (int64_t)step->number, on_drained, talk);
        return DONE;
    case DRAINED:
        return talk->is_drained ? DONE : WAITS;
    case CONFIGURE:
        configure(talk, step);
        return DONE;
    case DESCRIPTORS:
        leave_descriptors(talk, step->number);
        return DONE;
    default:
        break;
    }
    if (!is_there(talk, step))
        return WAITS;
    switch (step->verb) {
    case SENDS:
    case SENDS_WHAT_IT_CAN:
        return do_send(talk, step, party);
    case SENDS_BYTES:
        return do_send_pattern(talk, step, party);
    case FINISHES:
        shutdown(party->fd, SHUT_WR);
        return DONE;
    case CLOSES:
    case RESETS:
        close_party(party, step->verb == RESETS);
        return DONE;
    case PASSES_TO_BROWSER:
        return do_pass(talk, step, party, &talk->parties[BROWSER][0]);
    case PASSES_TO_ORIGIN:
        return do_pass(talk, step, party, &talk->parties[ORIGIN][0]);
    case GETS:
        return do_get(talk, step, party);
    case GETS_MESSAGE:
        return do_get_message(talk, step, party);
    case GETS_CHUNKED:
        return do_get_chunked(talk, step, party);
    case GETS_PAGE:
        return do_get_page(talk, step, party);
    case GETS_BYTES:
        return do_get_pattern(talk, step, party);
    case GETS_NOTHING:
        return do_get_nothing(talk, step, party);
    case GETS_END:
    case GETS_RESET:
    case GETS_CUT:
        return do_get_ending(talk, step, party);
    default:
        return DONE;
    }
}

/* ---- from beginning to end ---- */

static void begin_talks(struct director *director);

static void close_all(struct talk *talk)
{
    for (int side = 0; side < SIDES; side++)
        for (int i = 0; i < PARTIES; i++) {
            close_party(&talk->parties[side][i], false);
            talk->parties[side][i].is_closed = true;
        }
}

/* All parties have gone: has the proxy let go of everything? */
static bool all_is_quiet(struct talk *talk)
{
    struct proxy *proxy = talk->proxy;

    return proxy->busy_sessions.count == 0 && proxy->idle_sessions.count == 0 &&
           proxy->tunnels == 0 && proxy->total_gate.waiting == 0 &&
           proxy->total_gate.held == proxy->idle_outgoing.count;
}

static void finish(struct talk *talk)
{
    struct director *director = talk->director;
    const struct script *script = talk->script;
    unsigned line = talk->at < script->step_count ? script->steps[talk->at].line : 0;

    talk->is_over = true;
    leave_descriptors(talk, 1000);
    ev_io_stop(director->loop->ev, &talk->watch);
    loop_timer_stop(&talk->limit);
    loop_timer_stop(&talk->nothing);
    loop_timer_stop(&talk->soon);
    loop_later_cancel(director->loop, &talk->pump);
    printf("%s %u - %s, %s\n", talk->why[0] ? "not ok" : "ok", ++director->number, script->name,
           mode_names[talk->mode]);
    if (talk->why[0]) {
        printf("# %s:%u: %s\n", script->file, line, talk->why);
        director->failed++;
    }
    fflush(stdout);
    close_all(talk);
    proxy_free(&talk->proxy);
    compiler_free(&talk->compiler);
    for (int side = 0; side < SIDES; side++) {
        if (side != BROWSER)
            close(talk->listen_fd[side]);
        for (int i = 0; i < PARTIES; i++)
            buffer_release(&talk->parties[side][i].in);
    }
    close(talk->proxy_fd);
    close(talk->dead_fd);
    close(talk->full_fd);
    for (int i = 0; i < 3; i++)
        close(talk->full_fillers[i]);
    buffer_release(&talk->payload);
    buffer_release(&talk->sending);
    free(talk);
    director->under_way--;
    begin_talks(director);
}

static void pump(void *owner)
{
    struct talk *talk = owner;
    struct loop *loop = talk->director->loop;

    while (!talk->why[0] && talk->at < talk->script->step_count) {
        switch (act(talk, &talk->script->steps[talk->at])) {
        case WAITS:
            if (talk->why[0])
                break;
            return;
        case AGAIN_SOON:
            loop_later(loop, &talk->pump); // the proxy has its turn
            return;
        case DONE:
            talk->at++;
            talk->at_byte = talk->passed = 0;
            talk->payload.size = 0;
            loop_timer_set(&talk->limit, STEP_MS);
            if (talk->at == talk->script->step_count)
                close_all(talk);
            loop_later(loop, &talk->pump);
            return;
        }
    }
    if (!talk->why[0] && !all_is_quiet(talk)) {
        loop_timer_set(&talk->soon, 2);
        return;
    }
    finish(talk);
}

static void begin(struct director *director, struct script *script, enum mode mode)
{
    struct talk *talk = calloc(1, sizeof *talk);

    if (!talk)
        abort();
    director->under_way++;
    talk->director = director;
    talk->script = script;
    talk->mode = mode;
    talk->chance = director->seed + director->number * 7919u;
    for (int side = 0; side < SIDES; side++)
        for (int i = 0; i < PARTIES; i++)
            talk->parties[side][i].fd = -1;
    talk->listen_fd[ORIGIN] = listen_somewhere();
    talk->listen_fd[OTHER] = listen_somewhere();
    open_bad_ports(talk);
    talk->pump = (struct loop_task){ .run = pump, .owner = talk };
    loop_timer_init(&talk->limit, director->loop, on_limit, talk);
    loop_timer_init(&talk->soon, director->loop, pump, talk);
    loop_timer_init(&talk->nothing, director->loop, on_nothing_over, talk);
    ev_init(&talk->watch, on_watch);
    talk->watch.data = talk;
    start_proxy(talk);
    loop_timer_set(&talk->limit, STEP_MS);
    loop_later(director->loop, &talk->pump);
}

/* The next that is to be played; NULL when all were. */
static struct script *next_script(struct director *director, enum mode *mode)
{
    struct script *script;

    while (director->next && director->only && !strstr(director->next->name, director->only))
        director->next = director->next->next;
    script = director->next;
    if (!script)
        return NULL;
    *mode = director->next_mode++;
    if (director->next_mode == MODES || script->is_whole) {
        director->next_mode = WHOLE;
        director->next = script->next;
    }
    return script;
}

static bool is_alone_next(const struct director *director)
{
    return director->next && director->next->is_alone;
}

static void begin_talks(struct director *director)
{
    while (director->under_way < AT_ONCE &&
           (director->under_way == 0 || !is_alone_next(director))) {
        enum mode mode;
        struct script *script = next_script(director, &mode);

        if (!script)
            break;
        begin(director, script, mode);
        if (script->is_alone)
            break;
    }
    if (director->under_way == 0)
        loop_stop(director->loop);
}

int main(int argc, char **argv)
{
    struct director director = { .only = getenv("TALK"), .seed = 8119 };
    struct script **last = &director.first;
    struct error error;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getenv("TALK_SEED"))
        director.seed = (uint32_t)strtoul(getenv("TALK_SEED"), NULL, 10);
    for (int i = 1; i < argc; i++)
        last = read_scripts(argv[i], last);
    if (loop_new(&director.loop, &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    log_set_level(LOG_LEVEL_ERROR);
    director.next = director.first;
    begin_talks(&director);
    if (director.under_way)
        loop_run(director.loop);
    printf("1..%u\n", director.number);
    free_scripts(director.first);
    loop_free(&director.loop);
    return director.failed ? 1 : 0;
}
