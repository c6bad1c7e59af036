/* Our own pages over HTTP/1: whole, byte by byte, pipelined; what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/web.h"

enum { ROUNDS = 200, BIG_BYTES = 1000000 };

static struct {
    struct loop *loop;
    struct web *web;
    int fd;
    size_t requests;
    char path[300], host[100], client[100], user[100];
} test;

static void keep(char *to, size_t size, struct span text)
{
    snprintf(to, size, "%.*s", SPAN_PRINT(text));
}

static void on_request(void *owner, const struct web_request *request, struct web_answer *answer)
{
    assert_ptr_equal(owner, &test);
    test.requests++;
    keep(test.path, sizeof test.path, request->path);
    keep(test.host, sizeof test.host, request->host);
    keep(test.client, sizeof test.client, request->client);
    keep(test.user, sizeof test.user, request->user);
    if (request->is_post && span_equal(request->path, SPAN("/held"))) {
        answer->status = 303;
        answer->location = SPAN("http://x/");
        answer->held_until = 7;
    } else if (request->is_post) {
        struct arena arena;

        arena_init(&arena, WEB_ARENA_BYTES);
        answer->status = 200;
        buffer_append(&answer->body, web_form_value(&arena, request->form, SPAN("a")));
        arena_done(&arena);
    } else if (span_equal(request->path, SPAN("/big"))) {
        assert_true(buffer_reserve(&answer->body, BIG_BYTES));
        memset(answer->body.at, 'x', BIG_BYTES);
        answer->body.size = BIG_BYTES;
        answer->status = 200;
    } else if (span_equal(request->path, SPAN("/"))) {
        answer->status = 200;
        buffer_append(&answer->body, SPAN("hello"));
    }
}

static const struct web_events events = { on_request };

static int open_web(void **state)
{
    struct error error;
    int ends[2];

    (void)state;
    memset(&test, 0, sizeof test);
    if (loop_new(&test.loop, &error) != ERROR_NONE ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0)
        return -1;
    test.web = web_new(test.loop, &events, &test);
    web_take(test.web, ends[1]);
    test.fd = ends[0];
    return 0;
}

static int close_web(void **state)
{
    (void)state;
    close(test.fd);
    web_free(&test.web);
    loop_free(&test.loop);
    return 0;
}

static void turn(void)
{
    ev_run(test.loop->ev, EVRUN_NOWAIT);
}

/* What comes within some rounds; *ended when the other side has finished. */
static const char *talk(struct span bytes, size_t step, bool *ended)
{
    static char got[65536];
    size_t size = 0;

    *ended = false;
    for (size_t at = 0; at < bytes.size; at += step) {
        size_t now = bytes.size - at < step ? bytes.size - at : step;

        if (send(test.fd, bytes.at + at, now, MSG_NOSIGNAL) < 0)
            break;
        turn();
    }
    for (int i = 0; i < ROUNDS; i++) {
        ssize_t more = recv(test.fd, got + size, sizeof got - 1 - size, 0);

        turn();
        *ended = *ended || more == 0;
        if (more > 0)
            size += (size_t)more;
    }
    got[size] = '\0';
    return got;
}

static void requests_are_answered(void **state)
{
    static const struct {
        const char *name, *request, *status, *body;
        bool ends;
    } cases[] = {
        { "a page", "GET / HTTP/1.1\r\nHost: dejunk\r\n\r\n", "200 OK", "hello", false },
        { "with a query", "GET /?x HTTP/1.1\r\nHost: dejunk\r\n\r\n", "200 OK", "hello", false },
        { "HEAD", "HEAD / HTTP/1.1\r\nHost: dejunk\r\n\r\n", "200 OK", "", false },
        { "no page", "GET /x HTTP/1.1\r\nHost: dejunk\r\n\r\n", "404 Not Found",
          "There is no such page here.\n", false },
        { "asked to close", "GET / HTTP/1.1\r\nHost: dejunk\r\nConnection: close\r\n\r\n", "200 OK",
          "hello", true },
        { "HTTP/1.0", "GET / HTTP/1.0\r\nHost: dejunk\r\n\r\n", "200 OK", "hello", true },
        { "POST", "POST / HTTP/1.1\r\nHost: dejunk\r\nContent-Length: 3\r\n\r\nabc",
          "405 Method Not Allowed", "Only GET, HEAD and small forms are served here.\n", true },
        { "DELETE", "DELETE / HTTP/1.1\r\nHost: dejunk\r\n\r\n", "405 Method Not Allowed",
          "Only GET, HEAD and small forms are served here.\n", false },
        { "GET with a body", "GET / HTTP/1.1\r\nHost: dejunk\r\nContent-Length: 3\r\n\r\nabc",
          "400 Bad Request", "A request for a page has no body.\n", true },
        { "absolute-form", "GET http://dejunk/ HTTP/1.1\r\nHost: dejunk\r\n\r\n", "400 Bad Request",
          "Only paths are served here.\n", false },
        { "a form",
          "POST /pass HTTP/1.1\r\nHost: dejunk\r\nContent-Length: 9\r\nContent-Type: "
          "application/x-www-form-urlencoded\r\n\r\na=%41+b&c",
          "200 OK", "A b", false },
        { "a form and the end",
          "POST /pass HTTP/1.1\r\nHost: dejunk\r\nContent-Length: 3\r\n"
          "Connection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\na=1",
          "200 OK", "1", true },
        { "a form in chunks",
          "POST / HTTP/1.1\r\nHost: dejunk\r\nTransfer-Encoding: chunked\r\n"
          "Content-Type: application/x-www-form-urlencoded\r\n\r\n3\r\na=1\r\n0\r\n\r\n",
          "405 Method Not Allowed", NULL, true },
        { "no HTTP", "\x16\x03\x01", "400 Bad Request", NULL, true },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 1000; step = step == 1 ? 7 : 1000) {
            bool ended;
            char want[200];
            const char *got;

            assert_int_equal(open_web(state), 0);
            got = talk(span_text(cases[i].request), step, &ended);
            snprintf(want, sizeof want, "HTTP/1.1 %s\r\n", cases[i].status);
            if (strncmp(got, want, strlen(want)) != 0 || ended != cases[i].ends)
                fail_msg("%s by %zu: ended %d, %s", cases[i].name, step, ended, got);
            if (cases[i].body && strcmp(strstr(got, "\r\n\r\n") + 4, cases[i].body) != 0)
                fail_msg("%s: %s", cases[i].name, got);
            close_web(state);
        }
}

static void forms_have_a_limit(void **state)
{
    for (size_t size = WEB_FORM_BYTES; size <= WEB_FORM_BYTES + 1; size++) {
        struct buffer request = { .limit_bytes = 2 * WEB_FORM_BYTES };
        const char *got, *body;
        bool ended;

        assert_int_equal(open_web(state), 0);
        assert_true(buffer_printf(&request,
                                  "POST / HTTP/1.1\r\nHost: dejunk\r\nContent-Length: %zu\r\n"
                                  "Content-Type: application/x-www-form-urlencoded\r\n\r\na=",
                                  size));
        for (size_t i = 2; i < size; i++)
            assert_true(buffer_append(&request, SPAN("x")));
        got = talk(buffer_span(&request), 4096, &ended);
        body = strstr(got, "\r\n\r\n");
        assert_non_null(body);
        if (size > WEB_FORM_BYTES) {
            assert_int_equal(strncmp(got, "HTTP/1.1 405 ", 13), 0);
            assert_true(ended);
        } else {
            assert_int_equal(strncmp(got, "HTTP/1.1 200 ", 13), 0);
            assert_int_equal(strlen(body + 4), size - 2);
        }
        buffer_release(&request);
        close_web(state);
    }
}

static void forms_are_decoded(void **state)
{
    static const struct {
        const char *form, *want; // of "a"; NULL: not there
    } cases[] = {
        { "a=1", "1" },     { "a=1&a=2", "1" },
        { "b=1&a=2", "2" }, { "a=", "" },
        { "a", NULL },      { "", NULL },
        { "&&a=1&&", "1" }, { "aa=1", NULL },
        { "a=b=c", "b=c" }, { "a=x+y%2Bz%2fz", "x y+z/z" },
        { "a=%", NULL },    { "a=%4", NULL },
        { "a=%4g", NULL },  { "a=%41", "A" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct span got;

        arena_init(&arena, WEB_ARENA_BYTES);
        got = web_form_value(&arena, span_text(cases[i].form), SPAN("a"));
        if ((got.at != NULL) != (cases[i].want != NULL) ||
            (got.at && !span_equal(got, span_text(cases[i].want))))
            fail_msg("%s: %.*s", cases[i].form, SPAN_PRINT(got));
        arena_done(&arena);
    }
}

static void who_asks_is_told(void **state)
{
    bool ended;

    (void)state;
    talk(SPAN("GET /a?b HTTP/1.1\r\nHost: h:1\r\nx-dejunk-client: 10.0.0.1\r\n"
              "X-Dejunk-User: ann\r\n\r\n"),
         1000, &ended);
    assert_string_equal(test.path, "/a");
    assert_string_equal(test.host, "h:1");
    assert_string_equal(test.client, "10.0.0.1");
    assert_string_equal(test.user, "ann");
    talk(SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 1000, &ended);
    assert_string_equal(test.client, "");
    assert_string_equal(test.user, "");
}

static void many_on_one_connection(void **state)
{
    static const char one[] = "GET / HTTP/1.1\r\nHost: dejunk\r\n\r\n";
    char many[50 * sizeof one];
    size_t size = 0, answers = 0;
    const char *got;
    bool ended;

    (void)state;
    for (int i = 0; i < 50; i++)
        size += (size_t)snprintf(many + size, sizeof many - size, "%s", one);
    for (int round = 0; round < 3; round++) {
        got = talk(span_of(many, size), 100, &ended);
        for (answers = 0; (got = strstr(got, "\r\n\r\nhello")); got++)
            answers++;
        assert_int_equal(answers, 50);
        assert_false(ended);
    }
    assert_int_equal(test.requests, 150);
}

static void every_answer_says_what_it_may_do(void **state)
{
    static const char *const lines[] = {
        "Content-Security-Policy: default-src 'none'\r\n",
        "X-Content-Type-Options: nosniff\r\n",
        "Cache-Control: no-store\r\n",
        "Referrer-Policy: no-referrer\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
    };
    bool ended;
    const char *got = talk(SPAN("GET /x HTTP/1.1\r\nHost: dejunk\r\n\r\n"), 1000, &ended);

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(got, lines[i]))
            fail_msg("no %s in %s", lines[i], got);
}

static void a_big_answer_waits_for_its_reader(void **state)
{
    static char piece[30000];
    size_t size = 0;

    (void)state;
    assert_true(send(test.fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n", 30, MSG_NOSIGNAL) == 30);
    for (int i = 0; i < 5000 && size < BIG_BYTES; i++) {
        ssize_t more;

        turn();
        more = recv(test.fd, piece, sizeof piece, 0);
        assert_true(more > 0 || (more < 0 && errno == EAGAIN));
        if (more > 0)
            size += (size_t)more;
    }
    assert_true(size > BIG_BYTES);
}

static void an_answer_is_held_back_until_it_may_go(void **state)
{
    static const char form[] = "POST /held HTTP/1.1\r\nHost: dejunk\r\nContent-Length: 3\r\n"
                               "Content-Type: application/x-www-form-urlencoded\r\n\r\na=1";
    static const char page[] = "GET / HTTP/1.1\r\nHost: dejunk\r\n\r\n";
    bool ended;

    (void)state;
    assert_string_equal(talk(SPAN(form), 1000, &ended), "");
    web_let_go(test.web, 6); // of an earlier one
    assert_string_equal(talk(SPAN(""), 1000, &ended), "");
    web_let_go(test.web, 7);
    assert_true(strncmp(talk(SPAN(""), 1000, &ended), "HTTP/1.1 303 ", 13) == 0);
    assert_true(strncmp(talk(SPAN(page), 1000, &ended), "HTTP/1.1 200 ", 13) == 0);
    assert_false(ended);

    assert_string_equal(talk(SPAN(form), 1000, &ended), "");
    talk(SPAN(page), 1000, &ended); // is not read meanwhile
    web_let_go(test.web, 8);
    assert_true(strncmp(talk(SPAN(""), 1000, &ended), "HTTP/1.1 303 ", 13) == 0);
    assert_int_equal(test.requests, 4);
}

static void stop_loop(void *owner)
{
    loop_stop(owner);
}

static void an_answer_is_not_held_back_for_long(void **state)
{
    static const char form[] = "POST /held HTTP/1.0\r\nHost: dejunk\r\nContent-Length: 3\r\n"
                               "Content-Type: application/x-www-form-urlencoded\r\n\r\na=1";
    struct loop_timer limit;
    uint64_t begun;
    bool ended;

    (void)state;
    begun = loop_now_ms(test.loop);
    assert_string_equal(talk(SPAN(form), 1000, &ended), "");
    loop_timer_init(&limit, test.loop, stop_loop, test.loop);
    loop_timer_set(&limit, WEB_HELD_MS + 50);
    loop_run(test.loop);
    assert_true(strncmp(talk(SPAN(""), 1000, &ended), "HTTP/1.1 303 ", 13) == 0);
    assert_true(ended && loop_now_ms(test.loop) >= begun + WEB_HELD_MS);
}

static void no_more_callers_than_the_limit(void **state)
{
    int ours[WEB_CALLERS]; // one is there already
    char byte;

    (void)state;
    for (int i = 0; i < WEB_CALLERS; i++) {
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        ours[i] = ends[0];
        web_take(test.web, ends[1]);
    }
    assert_int_equal(recv(ours[WEB_CALLERS - 1], &byte, 1, 0), 0);
    assert_int_equal(recv(ours[WEB_CALLERS - 2], &byte, 1, 0), -1);
    for (int i = 0; i < WEB_CALLERS; i++)
        close(ours[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_web, close_web)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered),
        cmocka_unit_test(forms_have_a_limit),
        cmocka_unit_test(forms_are_decoded),
        TEST(who_asks_is_told),
        TEST(many_on_one_connection),
        TEST(every_answer_says_what_it_may_do),
        TEST(a_big_answer_waits_for_its_reader),
        TEST(an_answer_is_held_back_until_it_may_go),
        TEST(an_answer_is_not_held_back_for_long),
        TEST(no_more_callers_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
