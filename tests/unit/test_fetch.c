/* The fetcher's events, against an origin that a script plays on the same loop: the walk of the
 * small client that it descends from, cancels at every moment, pauses, and how each attempt ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "io/listener.h"
#include "proxy/fetch.h"
#include "proxy_config.h"

enum { FETCHES = 40, CONNECTIONS = 40 };

/* What the origin does with a request: sends `first`, and when it is told to, `then`. */
static struct connection {
    int fd; // -1: not there
    ev_io watch;
    char request[4000];
    size_t size;
    bool holds;
} connections[CONNECTIONS];

static struct scene {
    struct loop *loop;
    struct proxy *proxy;
    struct metrics metrics;
    struct fetcher *fetcher;
    struct acceptor acceptor;
    int listener;
    uint16_t port;
    struct loop_timer limit;
    char trace[20000];
    size_t accepted, asked; // connections and requests that came
    const char *(*answer)(const char *target, bool *holds, bool *closes);
    size_t left; // fetches that have not ended
} scene;

static struct subject {
    struct fetch *fetch;
    char name;
    const char *cancel_at; // an event's name
    bool pauses;           // at the first body bytes
    struct subject *at_end_cancels;
    char at_end_begins;
    uint64_t bytes;
    enum fetch_end end;
} subjects[FETCHES];

static struct subject *begin(char name, const char *path);
static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    size_t used = strlen(scene.trace);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(scene.trace + used, sizeof scene.trace - used, format, arguments);
    va_end(arguments);
}

/* ---- the origin ---- */

static void hang_up(struct connection *connection)
{
    if (connection->fd < 0)
        return;
    ev_io_stop(scene.loop->ev, &connection->watch);
    close(connection->fd);
    connection->fd = -1;
}

static void say(struct connection *connection, const char *text)
{
    size_t size = strlen(text);
    assert_int_equal(send(connection->fd, text, size, MSG_NOSIGNAL), size);
}

static void answer(struct connection *connection)
{
    char target[200];
    bool holds = false, closes = false;
    const char *text;

    assert_int_equal(sscanf(connection->request, "%*s %199s", target), 1);
    note("<%s ", target);
    scene.asked++;
    text = scene.answer(target, &holds, &closes);
    connection->size = 0;
    connection->holds = holds;
    if (text)
        say(connection, text);
    if (closes)
        hang_up(connection);
}

static void on_request(struct ev_loop *ev, ev_io *watch, int events)
{
    struct connection *connection = watch->data;
    ssize_t got = recv(connection->fd, connection->request + connection->size,
                       sizeof connection->request - 1 - connection->size, 0);

    (void)ev;
    (void)events;
    if (got <= 0) {
        hang_up(connection);
        return;
    }
    connection->size += (size_t)got;
    connection->request[connection->size] = '\0';
    if (strstr(connection->request, "\r\n\r\n"))
        answer(connection);
}

static void on_accepted(void *owner, int fd, const struct address *peer)
{
    (void)owner;
    (void)peer;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        struct connection *connection = &connections[i];
        if (connection->fd >= 0)
            continue;
        scene.accepted++;
        *connection = (struct connection){ .fd = fd };
        ev_io_init(&connection->watch, on_request, fd, EV_READ);
        connection->watch.data = connection;
        ev_io_start(scene.loop->ev, &connection->watch);
        return;
    }
    fail_msg("too many connections");
}

static void on_exhausted(void *owner)
{
    (void)owner;
}

/* To the first connection that is held: the rest of its answer. */
static void let_go(const char *text)
{
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (connections[i].fd < 0 || !connections[i].holds)
            continue;
        connections[i].holds = false;
        if (text)
            say(&connections[i], text);
        else
            hang_up(&connections[i]);
        return;
    }
    fail_msg("nobody waits");
}

/* ---- the fetcher's owner ---- */

static void maybe_cancel(struct subject *subject, const char *event)
{
    if (!subject->cancel_at || strcmp(subject->cancel_at, event) != 0)
        return;
    fetch_cancel(&subject->fetch);
    note("%c:cancelled ", subject->name);
    if (--scene.left == 0)
        loop_stop(scene.loop);
}

static void on_started(void *owner)
{
    struct subject *subject = owner;

    note("%c:started ", subject->name);
    maybe_cancel(subject, "started");
}

static void on_headers(void *owner, const struct fetch_head *head)
{
    struct subject *subject = owner;

    note("%c:%u ", subject->name, head->response->status);
    maybe_cancel(subject, "headers");
}

static void on_body(void *owner, struct span bytes)
{
    struct subject *subject = owner;

    subject->bytes += bytes.size;
    note("%c:%.*s ", subject->name, SPAN_PRINT(bytes));
    if (subject->pauses) {
        subject->pauses = false;
        fetch_pause(subject->fetch);
    }
    maybe_cancel(subject, "body");
}

static void on_again(void *owner, const struct fetch_again *again)
{
    struct subject *subject = owner;

    note("%c:%s ", subject->name, again->kind == FETCH_REDIRECTED ? "redirected" : "again");
    maybe_cancel(subject, "again");
}

static void on_done(void *owner, const struct fetch_result *result)
{
    struct subject *subject = owner;

    subject->fetch = NULL;
    subject->end = result->end;
    note("%c:%s ", subject->name, fetch_end_name(result->end));
    assert_true(scene.left > 0);
    if (subject->at_end_cancels) {
        fetch_cancel(&subject->at_end_cancels->fetch);
        scene.left--;
    }
    if (subject->at_end_begins)
        begin(subject->at_end_begins, "/quick");
    if (--scene.left == 0)
        loop_stop(scene.loop);
}

static const struct fetch_events fetch_events = {
    .on_started = on_started,
    .on_headers = on_headers,
    .on_body = on_body,
    .on_again = on_again,
    .on_done = on_done,
};

static struct verify_roots *no_roots(void *owner, struct error *error)
{
    (void)owner;
    error_set(error, ERROR_CONFIG, "no roots");
    return NULL;
}

static struct subject *begin_with(char name, const char *path, struct fetch_order order)
{
    struct subject *subject = &subjects[name - 'a'];
    char url[300];

    subject->name = name;
    if (strstr(path, "://"))
        snprintf(url, sizeof url, "%s", path);
    else
        snprintf(url, sizeof url, "http://127.0.0.1:%u%s", scene.port, path);
    order.url = span_text(url);
    if (!order.max_redirects)
        order.max_redirects = 3;
    scene.left++;
    subject->fetch = fetch_start(scene.fetcher, &order, &fetch_events, subject);
    return subject;
}

static struct subject *begin(char name, const char *path)
{
    return begin_with(name, path, (struct fetch_order){ .can_restart = true });
}

static void on_limit(void *owner)
{
    (void)owner;
    fail_msg("it hangs: %s", scene.trace);
}

/* Until nobody is left. */
static void run(void)
{
    loop_timer_set(&scene.limit, 20000);
    if (scene.left)
        loop_run(scene.loop);
    loop_timer_stop(&scene.limit);
}

/* Until the trace has this text. */
static void run_until(const char *text)
{
    while (!strstr(scene.trace, text)) {
        loop_timer_set(&scene.limit, 20000);
        ev_run(scene.loop->ev, EVRUN_ONCE);
        loop_timer_stop(&scene.limit);
    }
}

static void use_limits(size_t at_once, size_t per_host)
{
    fetcher_free(&scene.fetcher);
    scene.fetcher =
        fetcher_new(scene.proxy, &(struct fetch_limits){ .at_once = at_once, .per_host = per_host },
                    &(struct fetch_trust){ .roots = no_roots });
}

static int set_up_with(const char *limits)
{
    static const struct acceptor_events events = { on_accepted, on_exhausted };
    struct proxy_setup setup = { .metrics = &scene.metrics,
                                 .resolv_conf = SPAN(""),
                                 .hosts = SPAN("127.0.0.1 public.test\n"),
                                 .via_pseudonym = SPAN("test") };
    char config[300];
    struct address local;
    socklen_t size = sizeof local;
    struct error error;

    memset(&scene, 0, sizeof scene);
    memset(subjects, 0, sizeof subjects);
    for (size_t i = 0; i < CONNECTIONS; i++)
        connections[i].fd = -1;
    assert_int_equal(loop_new(&scene.loop, &error), ERROR_NONE);
    setup.loop = scene.loop;
    snprintf(config, sizeof config, "allow_destinations = {\"0.0.0.0/0\", \"::/0\"}\n%s", limits);
    assert_int_equal(config_of(&setup.config, config, &error), ERROR_NONE);
    assert_int_equal(proxy_new(&scene.proxy, &setup, &error), ERROR_NONE);
    config_unref(&setup.config);
    assert_true(address_parse(&local, SPAN("127.0.0.1"), 0));
    scene.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(scene.listener, &local.any, address_size(&local)), 0);
    assert_int_equal(listen(scene.listener, 100), 0);
    assert_int_equal(getsockname(scene.listener, &local.any, &size), 0);
    scene.port = address_port(&local);
    acceptor_start(&scene.acceptor, scene.loop, scene.listener, &events, NULL, 0);
    loop_timer_init(&scene.limit, scene.loop, on_limit, NULL);
    use_limits(2, 0);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with("");
}

static int set_up_impatient(void **state)
{
    (void)state;
    return set_up_with("response_header_timeout = 100ms\nidle_body_timeout = 100ms\n");
}

static int tear_down(void **state)
{
    (void)state;
    fetcher_free(&scene.fetcher);
    acceptor_stop(&scene.acceptor);
    close(scene.listener);
    for (size_t i = 0; i < CONNECTIONS; i++)
        hang_up(&connections[i]);
    proxy_free(&scene.proxy);
    loop_free(&scene.loop);
    return 0;
}

/* ---- the walk ---- */

static const char *answer_walk(const char *target, bool *holds, bool *closes)
{
    if (strcmp(target, "/broken") == 0) {
        *closes = true;
        return "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort";
    }
    if (strcmp(target, "/held") == 0) {
        *holds = true;
        return "HTTP/1.1 200 Fine\r\nContent-Length: 6\r\n\r\none";
    }
    return "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
}

static void the_walk(void **state)
{
    (void)state;
    scene.answer = answer_walk;
    begin('a', "/held");
    begin('b', "/held");
    begin('c', "/quick");
    assert_string_equal(scene.trace, ""); // nothing from inside
    run_until("a:one ");
    run_until("b:one ");
    assert_null(strstr(scene.trace, "c:")); // headers give no token back
    let_go("two");
    run_until("c:started "); // the end of a body does
    assert_non_null(strstr(scene.trace, ":two "));
    assert_non_null(strstr(scene.trace, ":done "));
    let_go(NULL);
    run();
    assert_non_null(strstr(scene.trace, ":short body "));
    assert_non_null(strstr(scene.trace, "c:200 c:body c:done "));
    assert_int_equal(scene.asked, 3);
}

static void first_come_first_served(void **state)
{
    char want[2000] = "";

    (void)state;
    scene.answer = answer_walk;
    use_limits(1, 0);
    for (int i = 0; i < 20; i++) {
        size_t used = strlen(want);
        snprintf(want + used, sizeof want - used, "%c:started </quick %c:200 %c:body %c:done ",
                 'a' + i, 'a' + i, 'a' + i, 'a' + i);
        begin((char)('a' + i), "/quick");
    }
    run();
    assert_string_equal(scene.trace, want);
}

static void hosts_have_lines_of_their_own(void **state)
{
    char url[100];

    (void)state;
    scene.answer = answer_walk;
    use_limits(3, 1);
    snprintf(url, sizeof url, "http://public.test:%u/quick", scene.port);
    begin('a', "/held");
    begin('b', "/quick"); // behind a
    begin('c', url);
    run_until("c:done ");
    assert_null(strstr(scene.trace, "b:"));
    let_go("two");
    run();
    assert_non_null(strstr(scene.trace, "a:done b:started "));
}

/* ---- cancels ---- */

static const char *answer_any(const char *target, bool *holds, bool *closes)
{
    if (strcmp(target, "/away") == 0)
        return "HTTP/1.1 302 Found\r\nLocation: /quick\r\nContent-Length: 0\r\n\r\n";
    if (strcmp(target, "/again") == 0)
        return "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    return answer_walk(target, holds, closes);
}

static void cancelled_in_any_event(void **state)
{
    static const char *const events[] = { "started", "headers", "body", "again" };

    (void)state;
    scene.answer = answer_any;
    use_limits(1, 1);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct subject *subject =
            begin_with('a', i == 3 ? "/again" : "/quick", (struct fetch_order){ .retries = 1 });
        subject->cancel_at = events[i];
        begin('b', "/quick"); // gets the token
        run();
        assert_null(subject->fetch);
        assert_non_null(strstr(scene.trace, "a:cancelled "));
        assert_non_null(strstr(scene.trace, "b:done "));
        assert_null(strstr(strstr(scene.trace, "a:cancelled ") + 1, "a:"));
        scene.trace[0] = '\0';
        memset(subjects, 0, sizeof subjects);
    }
}

static void cancelled_at_any_moment(void **state)
{
    struct subject *held, *waiting;

    (void)state;
    scene.answer = answer_walk;
    use_limits(1, 0);
    held = begin('a', "/held");
    waiting = begin('b', "/held");
    fetch_cancel(&waiting->fetch); // in line
    run_until("a:one ");
    fetch_cancel(&held->fetch); // in its body
    fetch_cancel(&held->fetch); // harmless
    scene.left -= 2;
    begin('c', "/quick");
    run();
    assert_string_equal(scene.trace, "a:started </held a:200 a:one c:started </quick c:200 c:body "
                                     "c:done ");
    begin('d', "/held"); // ended by the fetcher's end
    use_limits(2, 0);
    scene.left = 0;
}

/* In the event that one ends the owner may cancel another, and begin one. */
static void others_from_inside_an_end(void **state)
{
    (void)state;
    scene.answer = answer_walk;
    subjects[0].at_end_cancels = begin('b', "/held");
    subjects[0].at_end_begins = 'c';
    begin('a', "/quick");
    run();
    assert_non_null(strstr(scene.trace, "a:done "));
    assert_non_null(strstr(scene.trace, "c:200 c:body c:done "));
    assert_null(strstr(strstr(scene.trace, "a:done "), "b:"));
}

static void paused_and_resumed(void **state)
{
    struct subject *subject;

    (void)state;
    scene.answer = answer_walk;
    subject = begin('a', "/held");
    subject->pauses = true;
    run_until("a:one ");
    let_go("two");
    begin('b', "/quick");
    run_until("b:done ");
    for (int i = 0; i < 10; i++)
        ev_run(scene.loop->ev, EVRUN_NOWAIT);
    assert_null(strstr(scene.trace, "a:two"));
    fetch_resume(subject->fetch);
    run();
    assert_non_null(strstr(scene.trace, "a:two a:done "));
}

/* ---- ends ---- */

static char long_field[300 * 1024];

static const char *answer_badly(const char *target, bool *holds, bool *closes)
{
    static const struct {
        const char *target, *text;
        bool closes;
    } rows[] = {
        { "/nothing", "", true },
        { "/head", "HTTP/1.1 200 OK\r\nConte", true },
        { "/short", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", true },
        { "/chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", true },
        { "/badchunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false },
        { "/until", "HTTP/1.1 200 OK\r\n\r\nall", true },
        { "/garbage", "SSH-2.0-OpenSSH\r\n", false },
        { "/switch",
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false },
        { "/interim", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", false },
        { "/loop", "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 3\r\n\r\nabc", false },
        { "/file", "HTTP/1.1 302 Found\r\nLocation: file:///x\r\nContent-Length: 0\r\n\r\n",
          false },
        { "/silent", "", false },
        { "/stall", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", false },
        { "/long", "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", false },
    };

    (void)holds;
    if (strcmp(target, "/head-limit") == 0)
        return long_field;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].target, target) == 0) {
            *closes = rows[i].closes;
            return *rows[i].text ? rows[i].text : NULL;
        }
    return NULL;
}

static const struct {
    const char *target;
    uint64_t max_bytes;
    enum fetch_end end;
} ends[] = {
    { "/nothing", 0, FETCH_LOST },
    { "/head", 0, FETCH_LOST },
    { "/short", 0, FETCH_SHORT },
    { "/chunk", 0, FETCH_SHORT },
    { "/badchunk", 0, FETCH_BAD_ANSWER },
    { "/until", 0, FETCH_DONE },
    { "/garbage", 0, FETCH_BAD_ANSWER },
    { "/switch", 0, FETCH_BAD_ANSWER },
    { "/interim", 0, FETCH_DONE },
    { "/loop", 0, FETCH_TOO_MANY_REDIRECTS },
    { "/file", 0, FETCH_REDIRECT_REFUSED },
    { "/long", 10, FETCH_TOO_LARGE },
    { "/long", 11, FETCH_DONE },
    { "/until", 2, FETCH_TOO_LARGE },
    { "/until", 3, FETCH_DONE },
    { "/head-limit", 0, FETCH_BAD_ANSWER },
    { "http://nobody.invalid/", 0, FETCH_NO_HOST },
    { "ftp://127.0.0.1/", 0, FETCH_BAD_URL },
    { "https://127.0.0.1/", 0, FETCH_FAILED }, // no roots
};

static void each_end_is_told(void **state)
{
    (void)state;
    scene.answer = answer_badly;
    memset(long_field, 'x', sizeof long_field - 1);
    memcpy(long_field, "HTTP/1.1 200 OK\r\nX: ", 20);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct subject *subject =
            begin_with('a', ends[i].target, (struct fetch_order){ .max_bytes = ends[i].max_bytes });

        run();
        if (subject->end != ends[i].end)
            fail_msg("%s: %s", ends[i].target, scene.trace);
        scene.trace[0] = '\0';
    }
}

static char answer_text[FETCH_DRAIN_BYTES + 2 * LOOP_SCRATCH_BYTES + 300];

static const char *answer_made(const char *target, bool *holds, bool *closes)
{
    (void)holds;
    (void)closes;
    return strcmp(target, "/made") == 0 ? answer_text
                                        : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
}

/* What comes with a redirect is read to its end, to keep the connection, where it is not too long.
 */
static void what_nobody_wants_has_a_limit(void **state)
{
    (void)state;
    scene.answer = answer_made;
    for (size_t over = 0; over < 2; over++) {
        size_t before = scene.accepted, head;
        // One read may bring more than what is left to the limit.
        size_t size = FETCH_DRAIN_BYTES + over * 2 * LOOP_SCRATCH_BYTES;

        use_limits(1, 0);
        head = (size_t)snprintf(answer_text, sizeof answer_text,
                                "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: %zu\r\n\r\n",
                                size);
        memset(answer_text + head, 'x', size);
        answer_text[head + size] = '\0';
        begin('a', "/made");
        run();
        assert_int_equal(subjects[0].end, FETCH_DONE);
        // The second round has the connection that the first one kept.
        assert_int_equal(scene.accepted - before, 1);
    }
}

static void patience_has_a_limit(void **state)
{
    (void)state;
    scene.answer = answer_made;
    for (unsigned over = 0; over < 2; over++) {
        snprintf(answer_text, sizeof answer_text,
                 "HTTP/1.1 503 Busy\r\nRetry-After: %u\r\nContent-Length: 0\r\n\r\n",
                 FETCH_RETRY_AFTER_S + over);
        begin_with('a', "/made", (struct fetch_order){ .retries = 1 })->cancel_at = "again";
        run();
        assert_string_equal(scene.trace, over ? "a:started </made a:503 a:done "
                                              : "a:started </made a:again a:cancelled ");
        scene.trace[0] = '\0';
    }
}

static void nobody_listens(void **state)
{
    struct address local;
    socklen_t size = sizeof local;
    int held = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char url[100];

    (void)state;
    assert_true(address_parse(&local, SPAN("127.0.0.1"), 0));
    assert_int_equal(bind(held, &local.any, address_size(&local)), 0);
    assert_int_equal(getsockname(held, &local.any, &size), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", address_port(&local));
    begin('a', url);
    run();
    assert_int_equal(subjects[0].end, FETCH_REFUSED);
    close(held);
}

static void silence_has_a_limit(void **state)
{
    static const char *const targets[] = { "/silent", "/stall" };

    (void)state;
    scene.answer = answer_badly;
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        begin('a', targets[i]);
        run();
        assert_int_equal(subjects[0].end, FETCH_TIMED_OUT);
    }
}

static void redirects_have_a_limit(void **state)
{
    (void)state;
    scene.answer = answer_badly;
    for (unsigned limit = 1; limit < 5; limit++) {
        size_t before = scene.asked;

        begin_with('a', "/loop", (struct fetch_order){ .max_redirects = limit });
        run();
        assert_int_equal(scene.asked - before, limit + 1);
    }
}

static void a_kept_connection_that_died_is_replaced(void **state)
{
    static const struct fetch_order orders[] = {
        { .can_restart = true },
        // Never sent a second time: a connection that has ended is not even tried.
        { .method = { "POST", 4 }, .body = { "x", 1 } },
    };

    (void)state;
    scene.answer = answer_walk;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        begin('a', "/quick");
        run();
        for (size_t k = 0; k < CONNECTIONS; k++) // between the two, unseen
            if (connections[k].fd >= 0)
                hang_up(&connections[k]);
        begin_with('b', "/quick", orders[i]);
        run();
        if (subjects[1].end != FETCH_DONE)
            fail_msg("row %zu: %s", i, scene.trace);
        scene.trace[0] = '\0';
    }
    assert_int_equal(scene.asked, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_walk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(first_come_first_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hosts_have_lines_of_their_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_in_any_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_at_any_moment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(paused_and_resumed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_end_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_wants_has_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patience_has_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(others_from_inside_an_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_listens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_has_a_limit, set_up_impatient, tear_down),
        cmocka_unit_test_setup_teardown(redirects_have_a_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_kept_connection_that_died_is_replaced, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
