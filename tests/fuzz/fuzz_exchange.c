/*
 * A browser's bytes and an origin's bytes through a real proxy on loopback. Every request goes to
 * one parent, which is us, whatever host it names. The input is cut in two: two bytes say how long
 * the browser's part is, one how both are cut, the rest is the origin's. Must hold: nothing
 * crashes or leaks, whatever reaches the origin is whole requests by the strict grammar (or the
 * beginning of one), and the proxy lets go of everything when both have gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "filter/compile.h"
#include "filter/list.h"
#include "http/http1.h"
#include "io/listener.h"
#include "proxy/context.h"
#include "proxy/outgoing.h"
#include "proxy/session.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { ORIGINS = 8, IDLE_ROUNDS = 12, END_ROUNDS = 5000 };

struct origin_end {
    int fd;
    size_t sent;
    bool has_closed;
    struct buffer got;
};

static struct scene { // one for the process: a proxy is dear to make
    struct loop *loop;
    struct proxy *proxy;
    struct metrics metrics;
    struct address proxy_address;
    int proxy_fd, origin_fd, browser_fd;
    struct span request, response;
    size_t piece, sent;
    struct origin_end origins[ORIGINS];
    size_t origin_count;
    unsigned idle_rounds, end_rounds;
    bool is_ending;
    struct loop_task task;
    struct compiler *compiler;
} scene;

/* ---- the oracle: what the origin got, read strictly ---- */

static void on_headers(void *owner)
{
    (void)owner;
}

static void on_body(void *owner, struct span bytes)
{
    (void)owner, (void)bytes;
}

static void on_finished(void *owner)
{
    *(bool *)owner = true;
}

static void on_error(void *owner, const struct error *error, unsigned status)
{
    (void)owner, (void)status;
    fprintf(stderr, "the origin got: %s\n", error->text);
    abort();
}

static const struct phases_events strict = { .on_headers_finished = on_headers,
                                             .on_body = on_body,
                                             .on_finished = on_finished,
                                             .on_error = on_error };

static void read_strictly(struct span bytes)
{
    bool is_finished = false;
    struct http1 *parser = http1_new(SIDE_BROWSER, &strict, &is_finished);
    struct message message;
    struct arena arena;

    arena_init(&arena, 1 << 22);
    while (bytes.size) {
        is_finished = false;
        message_init(&message, &arena, true);
        http1_begin(parser, &message, METHOD_OTHER);
        bytes = span_from(bytes, http1_feed(parser, bytes));
        if (!is_finished || message.method == METHOD_CONNECT || message.is_upgrade)
            break; // cut off, or no longer HTTP
    }
    http1_free(&parser);
    arena_done(&arena);
}

/* ---- the players ---- */

static void step_on(void *owner);

static int listen_somewhere(struct address *at)
{
    struct error error;
    int fd;

    CHECK(address_parse(at, SPAN("127.0.0.1"), 0));
    CHECK(listener_open(&fd, at, false, &error) == ERROR_NONE);
    CHECK(listener_address(fd, at, &error) == ERROR_NONE);
    return fd;
}

static void add_rule(void *owner, const struct rule *rule, uint32_t line)
{
    compiler_add(owner, rule, line);
}

/* Pages and texts are changed, too. The rules live as long as the process. */
static void use_rules(void)
{
    static const char rules[] = "##^.ad\n##.x\n||ads.test^\n/banner/\n$removeparam=u\n"
                                "||a.test^$replace=/one/two/g\n";
    struct compiler *compiler = compiler_new();
    struct list_reader reader = { .is_trusted = true, .on_rule = add_rule, .owner = compiler };
    struct compile_counts counts;
    struct list_summary summary;
    struct database *database;
    struct error error;
    struct span image;

    compiler_begin_list(compiler, SPAN("fuzz"));
    list_read(&summary, &reader, span_text(rules));
    CHECK(compiler_finish(compiler, &image, &counts, &error) == ERROR_NONE);
    CHECK(database_open(&database, image, &error) == ERROR_NONE);
    proxy_use_rules(scene.proxy, database);
    database_unref(&database);
    scene.compiler = compiler;
}

static void set_the_scene(void)
{
    struct proxy_setup setup = { .metrics = &scene.metrics,
                                 .resolv_conf = SPAN("nameserver 127.0.0.1\n"),
                                 .hosts = SPAN(""),
                                 .via_pseudonym = SPAN("fuzz") };
    struct config_source item = { SPAN("fuzz"), SPAN_NONE };
    struct config_sources sources = { .items = &item, .count = 1 };
    struct address origin;
    struct error error;
    char text[200];

    log_set_level(LOG_LEVEL_ERROR);
    CHECK(loop_new(&scene.loop, &error) == ERROR_NONE);
    scene.proxy_fd = listen_somewhere(&scene.proxy_address);
    scene.origin_fd = listen_somewhere(&origin);
    snprintf(text, sizeof text,
             "parent \"p\" { url = \"http://127.0.0.1:%u\" }\nconnect_ports = {\"1-65535\"}\n",
             address_port(&origin));
    item.text = span_text(text);
    CHECK(config_parse(&setup.config, &sources, &error) == ERROR_NONE);
    setup.loop = scene.loop;
    CHECK(proxy_new(&scene.proxy, &setup, &error) == ERROR_NONE);
    CHECK(proxy_listen(scene.proxy, scene.proxy_fd, &error) == ERROR_NONE);
    config_unref(&setup.config);
    use_rules();
    scene.task = (struct loop_task){ .run = step_on };
}

static bool send_piece(int fd, struct span bytes, size_t *sent)
{
    size_t size = bytes.size - *sent < scene.piece ? bytes.size - *sent : scene.piece;
    ssize_t put;

    if (size == 0)
        return false;
    put = send(fd, bytes.at + *sent, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put > 0)
        *sent += (size_t)put;
    return put > 0;
}

/* True: bytes came. */
static bool read_all(int fd, struct buffer *got, bool *has_ended)
{
    static char bytes[65536];
    ssize_t count = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (count > 0 && got)
        buffer_append(got, span_of(bytes, (size_t)count));
    if (count == 0 || (count < 0 && errno != EAGAIN))
        *has_ended = true;
    return count > 0;
}

static bool play_origins(void)
{
    bool moved = false;

    while (scene.origin_count < ORIGINS) {
        int fd = accept4(scene.origin_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        scene.origins[scene.origin_count] = (struct origin_end){ .fd = fd };
        scene.origins[scene.origin_count++].got.limit_bytes = 1 << 22;
        moved = true;
    }
    for (size_t i = 0; i < scene.origin_count; i++) {
        struct origin_end *origin = &scene.origins[i];

        if (origin->has_closed)
            continue;
        moved |= read_all(origin->fd, &origin->got, &origin->has_closed);
        if (origin->got.size)
            moved |= send_piece(origin->fd, scene.response, &origin->sent);
        if (origin->sent == scene.response.size && origin->got.size && (scene.piece & 1)) {
            shutdown(origin->fd, SHUT_WR);
            origin->sent++; // once
        } else if (origin->sent > scene.response.size) {
            origin->sent = scene.response.size + 1;
        }
    }
    return moved;
}

static void end_scene(void)
{
    close(scene.browser_fd);
    for (size_t i = 0; i < scene.origin_count; i++)
        close(scene.origins[i].fd);
    scene.is_ending = true;
}

static bool is_quiet(void)
{
    const struct proxy *proxy = scene.proxy;

    return !proxy->busy_sessions.count && !proxy->idle_sessions.count && !proxy->tunnels &&
           !proxy->total_gate.waiting && proxy->total_gate.held == proxy->idle_outgoing.count;
}

/* One round: everybody does a little, then the proxy has its turn. */
static void step_on(void *owner)
{
    bool has_ended = false, moved;

    (void)owner;
    if (scene.is_ending) {
        int fd = accept4(scene.origin_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd); // it came too late
        if (is_quiet()) {
            loop_stop(scene.loop);
            return;
        }
        CHECK(++scene.end_rounds < END_ROUNDS);
        loop_later(scene.loop, &scene.task);
        return;
    }
    moved = send_piece(scene.browser_fd, scene.request, &scene.sent);
    moved |= read_all(scene.browser_fd, NULL, &has_ended);
    moved |= play_origins();
    scene.idle_rounds = moved ? 0 : scene.idle_rounds + 1;
    if (has_ended || scene.idle_rounds == IDLE_ROUNDS)
        end_scene();
    loop_later(scene.loop, &scene.task);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    size_t request_size;

    if (size < 3 || size > 1 << 18)
        return 0;
    if (!scene.loop)
        set_the_scene();
    request_size = (size_t)(bytes[0] << 8 | bytes[1]);
    if (request_size > size - 3)
        request_size = size - 3;
    scene.piece = bytes[2] < 240 ? 1u + bytes[2] % 64 : 1u << 16 | (bytes[2] & 1u);
    scene.request = span_of((const char *)bytes + 3, request_size);
    scene.response = span_of((const char *)bytes + 3 + request_size, size - 3 - request_size);
    scene.sent = scene.origin_count = 0;
    scene.idle_rounds = scene.end_rounds = 0;
    scene.is_ending = false;
    scene.browser_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(scene.browser_fd, &scene.proxy_address.any, address_size(&scene.proxy_address)) ==
          0);
    loop_later(scene.loop, &scene.task);
    loop_run(scene.loop);
    while (outgoing_spare_one(scene.proxy)) // each input begins without idle connections
        ;
    loop_dig(scene.loop);
    for (size_t i = 0; i < scene.origin_count; i++) {
        read_strictly(buffer_span(&scene.origins[i].got));
        buffer_release(&scene.origins[i].got);
    }
    return 0;
}
