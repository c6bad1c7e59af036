/*
 * Nanoseconds for one head: parsed, split, stripped of what is for one connection, and written.
 *
 *     bench_http1 [ROUNDS]     best of the rounds; 0: each once, to count instructions with
 *                              valgrind --tool=callgrind
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "http/http1.h"
#include "http/target.h"

static const char request[] =
    "GET http://www.example.com/assets/js/app.3f2a91.js?v=20240611 HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Proxy-Connection: keep-alive\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/125.0.0.0 Safari/537.36\r\n"
    "Accept: */*\r\n"
    "Referer: http://www.example.com/\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n"
    "If-None-Match: \"65d0c1a2-1f4a\"\r\n"
    "If-Modified-Since: Sat, 17 Feb 2024 14:22:10 GMT\r\n"
    "\r\n";

static const char post[] = "POST http://www.example.com/api/v1/items HTTP/1.1\r\n"
                           "Host: www.example.com\r\n"
                           "Content-Type: application/json\r\n"
                           "Content-Length: 13\r\n"
                           "Accept: application/json\r\n"
                           "\r\n"
                           "{\"answer\":42}";

static const char response[] = "HTTP/1.1 200 OK\r\n"
                               "Server: nginx/1.22.1\r\n"
                               "Date: Tue, 11 Jun 2024 09:30:00 GMT\r\n"
                               "Content-Type: application/javascript\r\n"
                               "Content-Length: 1024\r\n"
                               "Last-Modified: Sat, 17 Feb 2024 14:22:10 GMT\r\n"
                               "Connection: keep-alive\r\n"
                               "ETag: \"65d0c1a2-1f4a\"\r\n"
                               "Cache-Control: max-age=31536000, immutable\r\n"
                               "Accept-Ranges: bytes\r\n"
                               "\r\n";

static const char chunk[] = "HTTP/1.1 200 OK\r\n"
                            "Transfer-Encoding: chunked\r\n"
                            "\r\n"
                            "10\r\n0123456789abcdef\r\n"
                            "10\r\n0123456789abcdef\r\n"
                            "10\r\n0123456789abcdef\r\n"
                            "10\r\n0123456789abcdef\r\n"
                            "0\r\n\r\n";

static void nothing(void *owner)
{
    (void)owner;
}

static void no_body(void *owner, struct span bytes)
{
    (void)owner;
    (void)bytes;
}

static void no_error(void *owner, const struct error *error, unsigned status)
{
    (void)owner;
    fprintf(stderr, "bench_http1: %u %s\n", status, error->text);
    exit(1);
}

static const struct phases_events events = {
    .on_started = nothing,
    .on_first_line = nothing,
    .on_headers_finished = nothing,
    .on_body = no_body,
    .on_finished = nothing,
    .on_error = no_error,
};

struct work {
    struct http1 *parser;
    enum phases_side side;
    struct span bytes;
    struct arena arena;
    struct message message;
    struct target target;
    struct buffer out;
};

static void parse(struct work *work)
{
    arena_reset(&work->arena);
    message_init(&work->message, &work->arena, work->side == SIDE_BROWSER);
    http1_begin(work->parser, &work->message, METHOD_GET);
    if (http1_feed(work->parser, work->bytes) != work->bytes.size)
        exit(1);
    http1_skip(work->parser, http1_raw_left(work->parser));
}

static void split(struct work *work)
{
    if (target_split(&work->target, &work->message, NULL) != ERROR_NONE)
        exit(1);
}

static void strip(struct work *work)
{
    message_drop_hop_by_hop(&work->message);
}

static void write_out(struct work *work)
{
    struct http1_request_line line = { SPAN("/assets/js/app.3f2a91.js?v=20240611"),
                                       SPAN("www.example.com"), false };

    work->out.size = 0;
    if (!(work->side == SIDE_BROWSER
              ? http1_write_request(&work->out, &work->message, &line)
              : http1_write_response(&work->out, &work->message, METHOD_GET, false)))
        exit(1);
}

static void measure(const char *name, void (*step)(struct work *), struct work *work,
                    unsigned rounds)
{
    enum { TIMES = 20000 };
    uint64_t best = UINT64_MAX;

    if (rounds == 0) {
        step(work);
        return;
    }
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t start = now_ns(), took;

        for (unsigned i = 0; i < TIMES; i++)
            step(work);
        took = now_ns() - start;
        if (took < best)
            best = took;
    }
    printf("%-28s %7.1f ns\n", name, (double)best / TIMES);
}

int main(int count, char **arguments)
{
    unsigned rounds = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 10) : 15;
    struct {
        const char *parse, *strip, *write;
        struct work work;
    } all[] = {
        { "parse request, 10 fields",
          "strip request",
          "write request",
          { .side = SIDE_BROWSER, .bytes = SPAN(request) } },
        { "parse POST with length", NULL, NULL, { .side = SIDE_BROWSER, .bytes = SPAN(post) } },
        { "parse response, 9 fields",
          "strip response",
          "write response",
          { .side = SIDE_OUTGOING, .bytes = SPAN(response) } },
        { "parse response, 4 chunks", NULL, NULL, { .side = SIDE_OUTGOING, .bytes = SPAN(chunk) } },
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct work *work = &all[i].work;

        work->parser = http1_new(work->side, &events, NULL);
        arena_init(&work->arena, 1 << 20);
        work->out.limit_bytes = 1 << 16;
        measure(all[i].parse, parse, work, rounds);
        if (i == 0) {
            arena_done(&work->arena); // splitting adds to it each time
            arena_init(&work->arena, 256 << 20);
            parse(work);
            measure("split target", split, work, rounds < 15 ? rounds : 15);
        }
        if (all[i].strip) {
            measure(all[i].strip, strip, work, rounds);
            measure(all[i].write, write_out, work, rounds);
        }
        arena_done(&work->arena);
        buffer_release(&work->out);
        http1_free(&work->parser);
    }
    return 0;
}
