#include "proxy/exchange.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "proxy/access_log.h"
#include "proxy/alternatives.h"
#include "proxy/amendment.h"
#include "proxy/destination.h"
#include "proxy/intercept.h"
#include "proxy/interception.h"
#include "proxy/page_late.h"
#include "proxy/pages.h"
#include "proxy/stubs.h"
#include "proxy/tally.h"
#include "proxy/passes.h"
#include "proxy/tunnel.h"
#include "proxy/visit.h"

static const struct phases_events request_events, response_events;
static const struct outgoing_events outgoing_events;

static void start(struct exchange *x);
static void claim_connection(struct exchange *x, bool fresh_only);
static void response_is_done(struct exchange *x, bool has_extra);
static void try_end(struct exchange *x);
static void on_working(void *owner);

/* ---- life ---- */

struct exchange *exchange_new(struct session *session)
{
    struct proxy *proxy = session->proxy;
    struct exchange *x = proxy->free_exchanges;

    if (x) {
        struct http1 *parser = x->parser;
        struct arena arena = x->arena;

        proxy->free_exchanges = x->next_free;
        proxy->free_exchange_count--;
        memset(x, 0, sizeof *x);
        x->parser = parser;
        x->arena = arena;
    } else {
        x = calloc(1, sizeof *x);
        if (!x)
            abort(); // out of memory ends the worker; the master starts another
        arena_init(&x->arena, EXCHANGE_ARENA_BYTES);
        x->parser = http1_new(SIDE_BROWSER, &request_events, x);
    }
    x->proxy = proxy;
    x->session = session;
    x->settings = proxy->settings;
    settings_ref(x->settings);
    x->number = ++proxy->exchange_number;
    x->working.run = on_working;
    x->working.owner = x;
    x->started_ms = loop_now_ms(proxy->loop);
    message_init(&x->request, &x->arena, true);
    http1_begin(x->parser, &x->request, METHOD_OTHER);
    return x;
}

static void free_exchange(struct exchange *x)
{
    http1_free(&x->parser);
    arena_done(&x->arena);
    free(x);
}

static void dig(struct loop_grave *grave)
{
    struct exchange *x = (struct exchange *)((char *)grave - offsetof(struct exchange, grave));
    struct proxy *proxy = x->proxy;

    if (proxy->free_exchange_count >= FREE_EXCHANGES || http1_phase(x->parser) != PHASE_FINISHED) {
        free_exchange(x);
        return;
    }
    arena_reset(&x->arena);
    x->next_free = proxy->free_exchanges;
    proxy->free_exchanges = x;
    proxy->free_exchange_count++;
}

void exchange_free_all(struct proxy *proxy)
{
    while (proxy->free_exchanges) {
        struct exchange *x = proxy->free_exchanges;
        proxy->free_exchanges = x->next_free;
        free_exchange(x);
    }
    proxy->free_exchange_count = 0;
}

static void count_action(const struct exchange *x)
{
    static const enum metric metrics[ACTIONS] = {
        [ACTION_PASSED] = METRIC_REQUESTS_PASSED,
        [ACTION_BLOCKED] = METRIC_REQUESTS_BLOCKED,
        [ACTION_REDIRECTED] = METRIC_REQUESTS_REDIRECTED,
        [ACTION_MODIFIED] = METRIC_REQUESTS_MODIFIED,
        [ACTION_TUNNELED] = METRIC_REQUESTS_TUNNELED,
        [ACTION_LOCAL] = METRIC_REQUESTS_LOCAL,
        [ACTION_REFUSED] = METRIC_REQUESTS_REFUSED,
        [ACTION_ERROR] = METRIC_REQUESTS_ERROR,
    };

    count(x->proxy, metrics[x->action]);
}

static void stop_rework(struct exchange *x)
{
    loop_later_cancel(x->proxy->loop, &x->working);
    rework_done(&x->rework);
    if (x->rework.has_changed && x->action == ACTION_PASSED)
        x->action = ACTION_MODIFIED;
}

static void note_spared(struct exchange *x)
{
    if (x->is_local || x->request.method == METHOD_CONNECT)
        return;
    tally_note(
        x->proxy,
        &(struct tally_entry){
            .judgement = &x->judgement,
            .host = x->target.host,
            .has_size = x->judgement.is_stopped && x->response.has_length,
            .bytes = x->judgement.is_stopped ? x->response.body_bytes : x->response_bytes,
            .was_answered = x->status == 200 && x->response_finished && x->action != ACTION_ERROR,
            .removed_bytes = x->rework.counts.removed_bytes,
            .removed_elements = x->rework.counts.removed_elements,
        });
}

/* Lets go of everything; the session must not know it any more. */
static void bury(struct exchange *x)
{
    x->is_over = true;
    outgoing_cancel(&x->claim);
    auth_cancel(x->proxy, &x->question);
    flow_done(x->proxy, &x->upload);
    flow_done(x->proxy, &x->download);
    stop_rework(x);
    if (x->outgoing)
        outgoing_close(x->outgoing, true);
    x->outgoing = NULL;
    if (x->head_finished) {
        count_action(x);
        note_spared(x);
        access_log_exchange(x);
    }
    settings_unref(&x->settings);
    database_unref(&x->rules);
    loop_bury(x->proxy->loop, &x->grave, dig);
}

void exchange_abort(struct exchange *x)
{
    x->session->exchange = NULL;
    bury(x);
}

/* Everything of the response is in the browser's outbox, or nothing more can be. */
static void try_end(struct exchange *x)
{
    struct session *session = x->session;
    bool close = x->close_browser;

    if (!x->response_finished || x->outgoing || x->download.in_pipe || x->rework.chain)
        return;
    if (!x->request_finished)
        close = true;
    if (!outbox_is_empty(&session->outbox) && !close)
        return; // exchange_browser_writable() comes back here
    session->may_close_at_once = x->request_finished && !x->request.keep_alive;
    session->exchange = NULL;
    bury(x);
    session_exchange_ended(session, close);
}

/* The response is cut off: the browser sees that it is short. */
static void cut(struct exchange *x)
{
    struct session *session = x->session;

    outbox_flush(&session->outbox);
    session_close(session, x->is_until_close || session->outbox.is_broken);
}

/* ---- answering by ourselves ---- */

struct answer {
    unsigned status;
    enum exchange_action action;
    struct span title, text, html, extra, proxy_status;
    struct span content_type, body; // content_type.at set: in place of a page
    bool close;
};

/* The extra lines of an answer, with what was done where the client asks for it. */
static struct span add_report(struct exchange *x, const struct answer *what)
{
    bool is_stopped = what->action == ACTION_BLOCKED || what->action == ACTION_REDIRECTED;
    char reason[JUDGE_REASON_BYTES];
    struct span value, by = SPAN_NONE;

    if (!x->report.is_wanted)
        return what->extra;
    if (is_stopped)
        by = span_text(judge_reason(x->proxy->judge, &x->judgement, reason));
    value = report_value(&x->report, &x->arena, by);
    return arena_printf(&x->arena, "Proxy-Dejunk: %.*s\r\n%.*s", SPAN_PRINT(value),
                        SPAN_PRINT(what->extra));
}

static void answer(struct exchange *x, const struct answer *what)
{
    struct session *session = x->session;
    struct page page = {
        .status = what->status,
        .title = what->title,
        .text = what->text,
        .html = what->html,
        .extra = what->extra,
        .proxy_status = what->proxy_status,
        .content_type = what->content_type,
        .body = what->body,
        .answers = x->request.method,
        .http10 = x->head_finished && x->request.version_minor == 0,
    };
    struct buffer *head;
    size_t from;

    assert(x->status == 0);
    x->status = what->status;
    x->action = what->action;
    page.extra = add_report(x, what);
    if (what->close || !x->request.keep_alive || x->request.version_minor == 0 ||
        !(x->request_finished || (x->head_finished && x->request.framing == FRAMING_NONE)))
        x->close_browser = true;
    page.close = x->close_browser;
    x->response_finished = true;
    stop_rework(x);
    if (x->outgoing)
        outgoing_close(x->outgoing, true);
    x->outgoing = NULL;
    outgoing_cancel(&x->claim);

    head = outbox_head(&session->outbox);
    from = head->size;
    if (page_write(head, &page))
        outbox_put_head(&session->outbox, from);
    if (!outbox_flush(&session->outbox)) {
        session_close(session, true);
        return;
    }
    // With its body still on the way, or not yet told that it has none, it ends a little later.
    if (x->request_finished || x->close_browser)
        try_end(x);
}

static void answer_error(struct exchange *x, enum exchange_action action, unsigned status,
                         const struct error *error)
{
    answer(x, &(struct answer){
                  .status = status ? status : page_status_of(error->kind),
                  .action = action,
                  .text = span_text(error->text),
                  .proxy_status = page_proxy_status_of(error->kind),
              });
}

static void answer_bad_request(struct exchange *x, unsigned status, const struct error *error)
{
    count(x->proxy, METRIC_BAD_REQUESTS);
    answer(x, &(struct answer){
                  .status = status,
                  .action = ACTION_REFUSED,
                  .text = span_text(error->text),
                  .proxy_status = SPAN("http_request_error"),
                  .close = true,
              });
}

/* ---- the request ---- */

static void on_request_headers(void *owner)
{
    struct exchange *x = owner;

    if (x->is_over)
        return;
    x->head_finished = true;
    start(x);
}

static void put_body(struct outbox *outbox, enum framing framing, struct span bytes)
{
    char head[HTTP1_CHUNK_HEAD_BYTES];

    if (framing == FRAMING_CHUNKED) {
        outbox_put_copy(outbox, span_of(head, http1_chunk_head(head, bytes.size)));
        outbox_put(outbox, bytes);
        outbox_put(outbox, SPAN("\r\n"));
    } else {
        outbox_put(outbox, bytes);
    }
}

static void put_last_chunk(struct outbox *outbox, const struct message *message)
{
    struct buffer *head = outbox_head(outbox);
    size_t from = head->size;

    if (http1_write_last_chunk(head, message))
        outbox_put_head(outbox, from);
}

static void on_request_body(void *owner, struct span bytes)
{
    struct exchange *x = owner;

    if (!x->is_over && x->outgoing && !x->upload_is_void)
        put_body(&x->outgoing->outbox, x->request.framing, bytes);
}

static void on_request_finished(void *owner)
{
    struct exchange *x = owner;

    if (x->is_over)
        return;
    x->request_finished = true;
    if (x->outgoing && !x->upload_is_void && x->request.framing == FRAMING_CHUNKED)
        put_last_chunk(&x->outgoing->outbox, &x->request);
    try_end(x);
}

static void on_request_error(void *owner, const struct error *error, unsigned status)
{
    struct exchange *x = owner;

    if (x->is_over)
        return;
    if (x->status) { // the answer is under way: the rest of the request is not understood
        x->close_browser = true;
        if (!x->response_finished) {
            cut(x);
            return;
        }
        if (x->outgoing) // it waits for the rest
            outgoing_close(x->outgoing, true);
        x->outgoing = NULL;
        try_end(x);
        return;
    }
    answer_bad_request(x, status, error);
}

static const struct phases_events request_events = {
    .on_headers_finished = on_request_headers,
    .on_body = on_request_body,
    .on_finished = on_request_finished,
    .on_error = on_request_error,
};

size_t exchange_feed(struct exchange *x, struct span bytes)
{
    return http1_feed(x->parser, bytes);
}

enum exchange_reads exchange_reads(const struct exchange *x)
{
    if (x->request_finished || x->is_paused)
        return READS_EARLY;
    if (x->upload.in_pipe)
        return READS_NOT;
    if (x->outgoing && !x->upload_is_void && !outbox_is_empty(&x->outgoing->outbox))
        return READS_NOT;
    return READS_ON;
}

/* Waits with the body for something that is not there yet. */
static void hold_body(struct exchange *x)
{
    if (x->request.framing == FRAMING_NONE || x->request_finished)
        return;
    x->is_paused = true;
    http1_pause(x->parser);
}

static void let_body_go(struct exchange *x)
{
    if (!x->is_paused)
        return;
    x->is_paused = false;
    http1_resume(x->parser);
}

/* ---- what is to be done with it ---- */

static bool is_own_name(struct span host)
{
    return span_equal_nocase(host, SPAN("dejunk"));
}

/* Origin-form asks for our own pages: only by names that are surely ours (DNS rebinding). */
static bool host_is_ours(const struct exchange *x)
{
    struct span host = message_value(&x->request, FIELD_HOST);
    struct address address;
    uint64_t port;
    size_t colon;

    if (!host.at)
        return false;
    if (address_parse_with_port(&address, host) || address_parse(&address, host, 0))
        return true;
    colon = span_find_byte(host, ':');
    if (colon < host.size && !span_to_u64(span_from(host, colon + 1), &port))
        return false;
    host = span_slice(host, 0, colon);
    return is_own_name(host) || span_equal_nocase(host, SPAN("localhost"));
}

static bool is_loop(const struct exchange *x)
{
    struct span pseudonym = x->proxy->pseudonym;

    for (const struct field *via = message_find(&x->request, FIELD_VIA); via;
         via = message_find_next(&x->request, via)) {
        struct span list = via->value, element;
        while (span_next_element(&list, &element)) {
            size_t blank = span_find_byte(element, ' ');
            struct span by = span_trim(span_from(element, blank));
            if (span_equal(span_slice(by, 0, span_find_byte(by, ' ')), pseudonym))
                return true;
        }
    }
    return false;
}

/* When there is nobody behind our own name, or it does not answer. */
static void answer_local(struct exchange *x)
{
    bool is_home = !x->is_local || span_equal(x->target.path_and_query, SPAN("/"));

    answer(x,
           &(struct answer){
               .status = is_home ? 200 : 503,
               .action = ACTION_LOCAL,
               .title = SPAN("This is dejunk"),
               .text = is_home
                           ? SPAN("The proxy works. Whoever sees this page through it is served.")
                           : SPAN("The proxy works, but its own pages are not there now."),
           });
}

/* Our own pages: asked of whoever answers for our name, like any origin. */
static void ask_local(struct exchange *x)
{
    x->action = ACTION_LOCAL;
    if (!x->proxy->seams.connect_local) {
        answer_local(x);
        return;
    }
    x->is_local = true;
    claim_connection(x, false);
}

/* Max-Forwards ends TRACE and OPTIONS here (RFC 9110 section 7.6.2). True: answered. */
static bool ends_here(struct exchange *x)
{
    struct field *field = message_find(&x->request, FIELD_MAX_FORWARDS);
    struct error error;
    uint64_t left;

    if (!field || (x->request.method != METHOD_TRACE && x->request.method != METHOD_OPTIONS))
        return false;
    if (!span_to_u64(field->value, &left)) {
        error_set(&error, ERROR_SYNTAX, "Max-Forwards is no number");
        answer_bad_request(x, 400, &error);
        return true;
    }
    if (left > 0) {
        struct span less = arena_printf(&x->arena, "%llu", (unsigned long long)left - 1);
        message_set(&x->request, FIELD_MAX_FORWARDS, less);
        return false;
    }
    answer(x, &(struct answer){
                  .status = x->request.method == METHOD_OPTIONS ? 200 : 501,
                  .action = ACTION_LOCAL,
                  .text = SPAN("Max-Forwards has run out at this proxy."),
                  .extra = SPAN("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, CONNECT\r\n"),
              });
    return true;
}

/* Inside of TLS that we ended, whose origin is asked over TLS too. */
static bool is_secure(const struct exchange *x)
{
    return x->target.scheme == TARGET_HTTPS;
}

/* A relative target inside a tunnel names the tunnel's host, which Host must agree with. */
static bool take_scope(struct exchange *x)
{
    const struct scope *scope = x->session->scope;
    struct error error;

    if (x->request.target_form != TARGET_AUTHORITY && x->target.port == scope->port &&
        is_secure(x) == scope->is_secure && span_equal_nocase(x->target.host, scope->host))
        return true;
    error_set(&error, ERROR_SYNTAX, "this tunnel leads to %.*s:%u and nowhere else",
              SPAN_PRINT(scope->host), scope->port);
    answer_bad_request(x, 421, &error);
    return false;
}

static void after_admission(struct exchange *x);
static bool judge(struct exchange *x);

static void answer_login(struct exchange *x)
{
    struct span realm = x->settings->config->auth_realm;
    struct span extra =
        arena_printf(&x->arena, "Proxy-Authenticate: Basic realm=\"%.*s\", charset=\"UTF-8\"\r\n",
                     SPAN_PRINT(realm));

    answer(x, &(struct answer){
                  .status = 407,
                  .action = ACTION_REFUSED,
                  .text = SPAN("This proxy wants a user name and a password."),
                  .extra = extra,
              });
}

static void on_password_checked(void *owner, bool is_good)
{
    struct exchange *x = owner;
    struct session *session = x->session;

    let_body_go(x);
    if (is_good) {
        x->user = x->claimed_user;
        after_admission(x);
    } else {
        answer_login(x);
    }
    if (session->state != SESSION_CLOSED)
        session_resume(session);
}

/* Who is it, and may it come in? */
static void start(struct exchange *x)
{
    struct error error;
    struct span value;

    report_begin(&x->report, &x->request, &x->session->peer);
    switch (settings_admit(x->settings, &x->session->peer)) {
    case ADMISSION_FREE:
        after_admission(x);
        return;
    case ADMISSION_REFUSED: {
        char text[ADDRESS_TEXT_BYTES];
        error_set(&error, ERROR_FORBIDDEN,
                  "%s may not use this proxy; this would let it in: allow += {\"%s\"}",
                  address_text(&x->session->peer, text), text);
        answer_error(x, ACTION_REFUSED, 403, &error);
        return;
    }
    case ADMISSION_WITH_PASSWORD:
        break;
    }
    if (x->session->scope) { // the CONNECT before it said the password
        x->user = x->session->scope->user;
        after_admission(x);
        return;
    }
    value = message_value(&x->request, FIELD_PROXY_AUTHORIZATION);
    if (!value.at) {
        answer_login(x);
        return;
    }
    x->question.on_answer = on_password_checked;
    x->question.owner = x;
    switch (auth_ask(x->proxy, x->settings, &x->question, value, &x->claimed_user)) {
    case AUTH_GOOD:
        x->user = x->claimed_user;
        after_admission(x);
        break;
    case AUTH_WRONG:
        answer_login(x);
        break;
    case AUTH_LATER:
        hold_body(x);
        break;
    }
}

/* The origin was asked for before the browser asked: what came of it is told once. */
static void answer_failure(struct exchange *x, struct scope *scope)
{
    struct error error = *scope->failure;

    free(scope->failure);
    scope->failure = NULL;
    answer_error(x, error.kind == ERROR_FORBIDDEN ? ACTION_REFUSED : ACTION_ERROR, 0, &error);
}

/* What the script in a page asks for elements that came later. */
static bool answer_late(struct exchange *x)
{
    struct buffer sheet = { .limit_bytes = PAGE_LATE_BYTES };
    struct judge *judge = x->proxy->judge;
    bool is_ours;

    if (x->request.method != METHOD_GET || !page_late_may_be(x->target.path_and_query) ||
        !x->settings->config->filter || !judge_database(judge))
        return false;
    is_ours = page_late_answer(judge_page_rules(judge), judge_secret(judge), x->target.host,
                               x->target.path_and_query, &sheet);
    if (is_ours)
        answer(x, &(struct answer){
                      .status = 200,
                      .action = ACTION_LOCAL,
                      .content_type = SPAN("text/css; charset=utf-8"),
                      .body = arena_copy(&x->arena, buffer_span(&sheet)),
                      .extra = SPAN("Cache-Control: private, max-age=86400\r\n"
                                    "X-Content-Type-Options: nosniff\r\n"),
                  });
    buffer_release(&sheet);
    return is_ours;
}

static void after_admission(struct exchange *x)
{
    struct scope *scope = x->session->scope;
    struct destination to;
    struct error error;
    enum error_kind kind;

    if (x->request.target_form == TARGET_ASTERISK && !scope) {
        answer_local(x);
        return;
    }
    if (x->request.target_form == TARGET_ORIGIN && !scope) {
        if (!host_is_ours(x)) {
            error_set(&error, ERROR_SYNTAX, "this is a proxy: it wants the whole URL");
            answer_bad_request(x, 421, &error);
            return;
        }
    }
    kind = target_split_in(&x->target, &x->request,
                           scope && scope->is_secure ? TARGET_HTTPS : TARGET_HTTP, &error);
    if (kind) {
        answer_bad_request(x, 400, &error);
        return;
    }
    if (x->request.target_form == TARGET_ORIGIN && !scope) {
        ask_local(x);
        return;
    }
    if (scope && !take_scope(x))
        return;
    if (is_secure(x) && !scope) {
        error_set(&error, ERROR_UNSUPPORTED,
                  "an https URL is asked for inside a tunnel (CONNECT), not in the open");
        answer_bad_request(x, 400, &error);
        return;
    }
    if (is_loop(x)) {
        error_set(&error, ERROR_FORBIDDEN, "this request has been here before: it goes in a loop");
        answer_error(x, ACTION_REFUSED, 508, &error);
        return;
    }
    if (ends_here(x))
        return;
    if (is_own_name(x->target.host) && x->request.method != METHOD_CONNECT) {
        ask_local(x);
        return;
    }
    to = (struct destination){ .host = x->target.host,
                               .port = x->target.port,
                               .is_literal = x->target.is_literal_v4 || x->target.is_literal_v6 };
    kind = destination_check_port(x->settings, &to,
                                  x->request.method == METHOD_CONNECT || is_secure(x), &error);
    if (kind) {
        answer_error(x, ACTION_REFUSED, 403, &error);
        return;
    }
    if (answer_late(x) || !judge(x))
        return;
    if (scope && scope->failure &&
        loop_now_ms(x->proxy->loop) - scope->failed_ms <= SCOPE_FAILURE_MS)
        answer_failure(x, scope);
    else
        claim_connection(x, false);
}

/* ---- judgement ---- */

static struct case_file case_file_of(struct exchange *x)
{
    struct span url = x->request.target;

    if (x->request.target_form != TARGET_ABSOLUTE)
        url = arena_printf(&x->arena, "http%s://%.*s%.*s", is_secure(x) ? "s" : "",
                           SPAN_PRINT(x->target.authority), SPAN_PRINT(x->target.path_and_query));
    return (struct case_file){ .settings = x->settings,
                               .request = &x->request,
                               .target = &x->target,
                               .url = url,
                               .client = &x->session->peer,
                               .user = x->user,
                               .response = x->status || x->got_response ? &x->response : NULL };
}

/* The button of a block page: a form with a token for this client and host. */
static struct span way_on(struct exchange *x)
{
    struct buffer html = { .limit_bytes = 128 * 1024 };
    char token[VISIT_TOKEN_BYTES], client[ADDRESS_TEXT_BYTES];
    struct case_file file = case_file_of(x);
    struct span out = SPAN_NONE;

    if (!x->proxy->visit_secret || x->request.method != METHOD_GET || x->judgement.by_policy)
        return SPAN_NONE;
    visit_token(token, x->proxy->visit_secret, x->target.host,
                span_text(address_text(&x->session->peer, client)), passes_clock_ms());
    if (buffer_printf(&html,
                      "<form method=\"post\" action=\"http%s://dejunk/pass\">"
                      "<input type=\"hidden\" name=\"token\" value=\"%s\">"
                      "<input type=\"hidden\" name=\"host\" value=\"%.*s\">"
                      "<input type=\"hidden\" name=\"url\" value=\"",
                      is_secure(x) ? "s" : "", token, SPAN_PRINT(x->target.host)) &&
        page_append_escaped(&html, file.url) &&
        buffer_append(&html, SPAN("\"><button>Go on anyway</button> for 10 minutes, on this "
                                  "device</form>\n")))
        out = arena_copy(&x->arena, buffer_span(&html));
    buffer_release(&html);
    return out;
}

static void answer_block_page(struct exchange *x)
{
    char reason[JUDGE_REASON_BYTES];
    struct span text = arena_printf(&x->arena, "%.*s is stopped by %s.", SPAN_PRINT(x->target.host),
                                    judge_reason(x->proxy->judge, &x->judgement, reason));

    answer(x, &(struct answer){
                  .status = 403,
                  .action = ACTION_BLOCKED,
                  .title = SPAN("Blocked by dejunk"),
                  .text = text,
                  .html = way_on(x),
              });
}

/* What a page makes the least trouble about: as if its browser had cancelled the request. */
static void answer_blocked(struct exchange *x)
{
    static const char pixel[] = "GIF89a\1\0\1\0\200\0\0\0\0\0\0\0\0!\371\4\1\0\0\0\0,\0\0\0\0"
                                "\1\0\1\0\0\2\2D\1\0;";
    struct answer what = { .status = 403, .action = ACTION_BLOCKED, .content_type = SPAN("") };

    if (x->request.method == METHOD_CONNECT || x->judgement.type == TYPE_DOCUMENT ||
        (x->judgement.by_policy && !x->judgement.by_image_policy)) {
        answer_block_page(x);
        return;
    }
    if (x->judgement.type == TYPE_IMAGE) {
        what.status = 200;
        what.content_type = SPAN("image/gif");
        what.body = span_of(pixel, sizeof pixel - 1);
    } else if (x->judgement.type == TYPE_SUBDOCUMENT) {
        what.status = 200;
        what.content_type = SPAN("text/html");
    }
    answer(x, &what);
}

/* A stub that stands in for what was stopped. False: there is none of that name. */
static bool answer_stub(struct exchange *x)
{
    struct stub stub;
    struct span origin = message_value(&x->request, FIELD_ORIGIN);
    struct span extra = SPAN("Access-Control-Allow-Origin: *\r\n"
                             "Cross-Origin-Resource-Policy: cross-origin\r\n");

    if (x->judgement.verdict.action != VERDICT_REDIRECT ||
        !stubs_find(x->proxy->stubs, x->judgement.verdict.redirect, &stub))
        return false;
    if (origin.at) // a request with credentials wants its origin named
        extra = arena_printf(&x->arena,
                             "Access-Control-Allow-Origin: %.*s\r\n"
                             "Access-Control-Allow-Credentials: true\r\n"
                             "Cross-Origin-Resource-Policy: cross-origin\r\nVary: Origin\r\n",
                             SPAN_PRINT(origin));
    answer(x, &(struct answer){
                  .status = 200,
                  .action = ACTION_REDIRECTED,
                  .extra = extra,
                  .content_type = stub.content_type,
                  .body = stub.bytes,
              });
    return true;
}

/* A preflight for what a stub will answer is granted (Fetch, section 3.2.2). */
static bool answer_preflight(struct exchange *x)
{
    struct span origin = message_value(&x->request, FIELD_ORIGIN);
    const struct field *method =
        message_find_name(&x->request, SPAN("Access-Control-Request-Method"));
    const struct field *fields =
        message_find_name(&x->request, SPAN("Access-Control-Request-Headers"));
    struct stub stub;

    if (x->request.method != METHOD_OPTIONS || !origin.at || !method ||
        x->judgement.verdict.action != VERDICT_REDIRECT ||
        !stubs_find(x->proxy->stubs, x->judgement.verdict.redirect, &stub))
        return false;
    answer(x, &(struct answer){
                  .status = 204,
                  .action = ACTION_REDIRECTED,
                  .content_type = SPAN(""),
                  .extra = arena_printf(&x->arena,
                                        "Access-Control-Allow-Origin: %.*s\r\n"
                                        "Access-Control-Allow-Methods: %.*s\r\n%s%.*s%s"
                                        "Access-Control-Allow-Credentials: true\r\n"
                                        "Vary: Origin\r\n",
                                        SPAN_PRINT(origin), SPAN_PRINT(method->value),
                                        fields ? "Access-Control-Allow-Headers: " : "",
                                        fields ? (int)fields->value.size : 0,
                                        fields ? fields->value.at : "", fields ? "\r\n" : ""),
              });
    return true;
}

static void answer_stopped(struct exchange *x)
{
    if (!answer_preflight(x) && !answer_stub(x))
        answer_blocked(x);
}

/* What rules change in a request that goes on. False: it is answered with another place. */
static bool amend(struct exchange *x, const struct case_file *file)
{
    struct amender *amender = judge_amender(x->proxy->judge);
    bool is_visit = x->judgement.type == TYPE_DOCUMENT && x->request.method == METHOD_GET;
    struct target target;
    struct span url;

    x->directives = judge_directives(x->proxy->judge, file, &x->judgement);
    if (x->directives.count == 0)
        return true;
    x->rules = database_ref(judge_database(x->proxy->judge));
    if (amend_request(amender, &x->directives, &x->request)) {
        x->action = ACTION_MODIFIED;
        report_note_dropped(&x->report, &x->arena, &x->request);
    }
    url = amendment_url(amender, &x->directives, file->url, is_visit, &x->arena);
    if (!url.at)
        return true;
    x->action = ACTION_MODIFIED;
    report_note(&x->report, &x->arena, "url", url);
    if (!is_visit) {
        struct span written = x->request.target;
        enum target_form form = x->request.target_form;

        x->request.target = url;
        x->request.target_form = TARGET_ABSOLUTE;
        if (target_split(&target, &x->request, NULL) == ERROR_NONE &&
            span_equal(target.authority, x->target.authority)) {
            x->target = target;
            return true;
        }
        x->request.target = written; // to another server the browser has to go itself
        x->request.target_form = form;
    }
    answer(x, &(struct answer){
                  .status = 307,
                  .action = ACTION_MODIFIED,
                  .text = SPAN("A filter rule leads to another address."),
                  .extra = arena_printf(&x->arena, "Location: %.*s\r\n", SPAN_PRINT(url)),
              });
    return false;
}

/* The address, and the names that led to it, are asked of the rules too. */
static bool may_use(void *owner, const struct address *address,
                    const struct resolve_answer *resolved, struct error *error)
{
    struct exchange *x = owner;
    struct case_file file;
    bool is_stopped = false;

    if (x->request.method == METHOD_CONNECT || x->is_local)
        return true;
    file = case_file_of(x);
    for (size_t i = 0; resolved && i < resolved->alias_count && !is_stopped; i++)
        is_stopped = judge_name(x->proxy->judge, &file, resolved->aliases[i], &x->judgement);
    if (!is_stopped)
        is_stopped = judge_address(x->proxy->judge, &file, address, &x->judgement);
    if (is_stopped)
        error_set(error, ERROR_FORBIDDEN, "a rule stops what the name stands for");
    return !is_stopped;
}

/* What CONNECT begins is looked into, and perhaps opened. False: that is not for us. */
static bool become_intercept(struct exchange *x)
{
    struct session *session = x->session;
    struct intercept_plan plan = {
        .settings = x->settings,
        .host = x->target.host,
        .user = x->user,
        .port = x->target.port,
        .is_literal = x->target.is_literal_v4 || x->target.is_literal_v6,
        .is_rooted = x->target.is_rooted,
        .is_stopped = x->judgement.is_stopped,
        .is_our_name = is_own_name(x->target.host),
    };

    if (!intercept_may(session, &plan))
        return false;
    x->status = 200;
    x->action = ACTION_TUNNELED;
    outbox_put(&session->outbox, SPAN("HTTP/1.1 200 Connection established\r\n\r\n"));
    if (!outbox_flush(&session->outbox)) {
        session_close(session, true);
        return true;
    }
    session_start_tunnel(session);
    plan.note = access_log_keep(x);
    intercept_start(session, &plan);
    bury(x);
    return true;
}

/* False: it is stopped or sent elsewhere, and answered. */
static bool judge(struct exchange *x)
{
    struct case_file file = case_file_of(x);

    if (x->request.method == METHOD_CONNECT) {
        judge_connect(x->proxy->judge, &file, &x->judgement);
        if (x->judgement.is_filtered && become_intercept(x))
            return false;
    } else {
        judge_request(x->proxy->judge, &file, &x->judgement);
    }
    if (x->judgement.is_stopped) {
        answer_stopped(x);
        return false;
    }
    return x->request.method == METHOD_CONNECT || amend(x, &file);
}

/* ---- the connection ---- */

static void on_outgoing_ready(void *owner, struct outgoing *outgoing);
static void on_outgoing_failed(void *owner, const struct error *error);

/* A connection that belongs to this browser and leads to the right place. */
static struct outgoing *take_bound(struct exchange *x, const struct outgoing_target *target)
{
    struct outgoing *bound = x->session->bound;

    if (!bound || bound->origin->to.port != target->to.port ||
        bound->origin->settings != x->settings ||
        bound->origin->to.is_rooted != target->to.is_rooted ||
        bound->origin->is_secure != (target->tls != NULL) ||
        !span_equal(bound->origin->to.host, target->to.host))
        return NULL;
    x->session->bound = NULL;
    return bound;
}

static void hold(struct exchange *x, struct outgoing *outgoing)
{
    x->outgoing = outgoing;
    outgoing->events = &outgoing_events;
    outgoing->owner = x;
}

static void send_head(struct exchange *x);

/* A kept connection was opened for another request: its address is asked of the rules for this
 * one. False: they stop it, and it is answered. */
static bool kept_may_be_used(struct exchange *x)
{
    struct outgoing *outgoing = x->outgoing;
    struct error error;

    if (outgoing->origin->parent || outgoing->is_fresh ||
        may_use(x, &outgoing->address, outgoing->answer, &error))
        return true;
    x->outgoing = NULL;
    outgoing_release(outgoing);
    answer_stopped(x);
    return false;
}

static bool can_be_sent_again(const struct exchange *x)
{
    return x->request.framing == FRAMING_NONE && method_is_idempotent(x->request.method);
}

static void claim_connection(struct exchange *x, bool fresh_only)
{
    struct outgoing_target target = {
        .to = { .host = x->target.host,
                .port = x->target.port,
                .is_literal = x->target.is_literal_v4 || x->target.is_literal_v6,
                .is_rooted = x->target.is_rooted },
        .settings = x->settings,
        .parent = x->settings->parent_count && !x->is_local
                      ? settings_parent_for(x->settings, x->target.host)
                      : NULL,
        .is_local = x->is_local,
        .is_tunnel = x->request.method == METHOD_CONNECT,
        .fresh_only = fresh_only,
        .is_once = !can_be_sent_again(x),
    };
    const struct scope *scope = x->session->scope;
    struct outgoing_tls tls;
    struct outgoing *outgoing = NULL;

    if (is_secure(x) && !x->is_local) {
        tls = interception_towards(x->proxy->interception, x->settings, scope);
        if (!tls.roots) { // a reload took them away since the tunnel was opened
            struct session *session = x->session;
            struct error error;

            error_set(&error, ERROR_TLS, "no certificate is trusted for this host any more");
            x->close_browser = true;
            answer_error(x, ACTION_ERROR, 502, &error);
            if (fresh_only && session->state != SESSION_CLOSED)
                session_resume(session);
            return;
        }
        target.tls = &tls;
        target.to.host = scope->to;
        target.to.is_literal = scope->to_is_literal;
        target.to.is_rooted = scope->to_is_rooted;
    }
    if (x->is_local) // one place, by whatever name it was asked for
        target.to = (struct destination){ .host = SPAN("dejunk"), .port = 80 };
    x->claim.on_ready = on_outgoing_ready;
    x->claim.on_failed = on_outgoing_failed;
    x->claim.may_use = may_use;
    x->claim.owner = x;
    if (!fresh_only && !target.is_tunnel && !x->is_local)
        outgoing = take_bound(x, &target);
    if (!outgoing)
        outgoing = outgoing_claim(x->proxy, &x->claim, &target);
    if (!outgoing) {
        hold_body(x);
        return;
    }
    hold(x, outgoing);
    if (kept_may_be_used(x))
        send_head(x);
}

static void origin_failed(struct exchange *x, const struct error *error);

static void become_tunnel(struct exchange *x, struct span first, bool sniff)
{
    struct session *session = x->session;
    struct outgoing *outgoing = x->outgoing;
    uint64_t idle_ms = x->settings->config->tunnel_idle_timeout_ms;
    struct scope_plan plan = {
        .host = x->target.host, .to = x->target.host, .user = x->user, .port = x->target.port
    };
    struct scope *scope = sniff ? scope_new(&plan) : NULL;

    x->action = ACTION_TUNNELED;
    x->outgoing = NULL;
    session_start_tunnel(session);
    session->note = access_log_keep(x);
    tunnel_start(session, outgoing, first, &scope, idle_ms);
    bury(x);
}

static void on_outgoing_ready(void *owner, struct outgoing *outgoing)
{
    struct exchange *x = owner;
    struct session *session = x->session;

    hold(x, outgoing);
    if (x->request.method != METHOD_CONNECT && outgoing->early.size) {
        struct error error;
        let_body_go(x);
        error_set(&error, ERROR_SYNTAX, "%.*s answers before it was asked",
                  SPAN_PRINT(x->target.host));
        origin_failed(x, &error);
        return;
    }
    if (x->request.method == METHOD_CONNECT) {
        x->status = 200;
        outbox_put(&session->outbox, SPAN("HTTP/1.1 200 Connection established\r\n\r\n"));
        if (!outbox_flush(&session->outbox)) {
            session_close(session, true);
            return;
        }
        become_tunnel(x, buffer_span(&outgoing->early), true);
        return;
    }
    let_body_go(x);
    if (kept_may_be_used(x))
        send_head(x);
    if (session->state == SESSION_CLOSED || session->exchange != x)
        return;
    exchange_flush_upload(x);
    if (session->state != SESSION_CLOSED)
        session_resume(session);
}

static void on_outgoing_failed(void *owner, const struct error *error)
{
    struct exchange *x = owner;
    struct session *session = x->session;
    enum exchange_action action = error->kind == ERROR_FORBIDDEN ? ACTION_REFUSED : ACTION_ERROR;

    let_body_go(x);
    if (is_secure(x) && x->claim.failure != OUTGOING_UNREACHED) {
        // It was good when the tunnel was opened. The next one is the browser's own affair.
        x->close_browser = true;
        if (x->claim.failure == OUTGOING_WANTS_CERTIFICATE)
            intercept_note_wanted(session);
    }
    if (x->judgement.is_stopped) {
        answer_stopped(x);
        if (session->state != SESSION_CLOSED)
            session_resume(session);
        return;
    }
    if (x->is_local)
        answer_local(x);
    else
        answer_error(x, action, 0, error);
    if (session->state != SESSION_CLOSED)
        session_resume(session);
}

/* ---- sending the request ---- */

static bool speaks_per_connection_auth(struct span value)
{
    return span_starts_nocase(value, SPAN("NTLM")) || span_starts_nocase(value, SPAN("Negotiate"));
}

static void add_via(struct exchange *x, struct message *message)
{
    const struct field *old;
    struct span value = SPAN_NONE, ours = x->proxy->via;
    struct span list[2];
    size_t parts = 0;

    if (!x->settings->config->via || is_secure(x)) // inside of TLS we are not to be seen
        return;
    if (message->version_minor == 0) // as it was received (RFC 9110 section 7.6.3)
        ours = arena_printf(&x->arena, "1.0 %.*s", SPAN_PRINT(x->proxy->pseudonym));
    old = message_find(message, FIELD_VIA);
    if (!old) {
        message_add(message, SPAN("Via"), ours);
        return;
    }
    for (; old; old = message_find_next(message, old)) {
        list[0] = old->value;
        list[1] = SPAN(", ");
        for (parts = 0; parts < 2; parts++)
            if (!arena_extend(&x->arena, &value, list[parts]))
                return;
    }
    if (arena_extend(&x->arena, &value, ours))
        message_set(message, FIELD_VIA, value);
}

/* Who asks, in fields that no browser can send. */
static void add_caller(struct exchange *x)
{
    char text[ADDRESS_TEXT_BYTES];
    struct span client = arena_printf(&x->arena, "%s", address_text(&x->session->peer, text));

    for (size_t i = 0; i < x->request.field_count; i++)
        if (span_starts_nocase(x->request.fields[i].name, SPAN("X-Dejunk-")))
            x->request.fields[i].is_dropped = true;
    message_add(&x->request, SPAN("X-Dejunk-Client"), client);
    if (x->user.size)
        message_add(&x->request, SPAN("X-Dejunk-User"), x->user);
}

/* The response may be changed: then it must come in a way that allows it. */
static void ask_for_rework(struct exchange *x)
{
    rework_request(&x->rework, &x->request,
                   &(struct rework_question){ .proxy = x->proxy,
                                              .file = case_file_of(x),
                                              .judgement = &x->judgement,
                                              .directives = &x->directives,
                                              .number = x->number });
}

/* What the request becomes on its way; once, however often it is sent. */
static void prepare_request(struct exchange *x)
{
    for (const struct field *field = message_find(&x->request, FIELD_AUTHORIZATION); field;
         field = message_find_next(&x->request, field))
        if (speaks_per_connection_auth(field->value))
            x->outgoing->is_tainted = true; // each connection that it is sent on
    if (x->was_sent)
        return;
    message_drop_hop_by_hop(&x->request);
    add_via(x, &x->request);
    if (x->is_local)
        add_caller(x);
    else
        ask_for_rework(x);
    if (x->judgement.wants_gpc)
        message_set(&x->request, FIELD_SEC_GPC, SPAN("1"));
}

static void send_head(struct exchange *x)
{
    struct outgoing *outgoing = x->outgoing;
    const struct parent *parent = outgoing->origin->parent;
    struct http1_request_line line = { .target = x->target.path_and_query,
                                       .host = x->target.authority };
    struct buffer *head;
    size_t from;

    prepare_request(x);
    if (parent && parent->kind == PARENT_HTTP && !is_secure(x)) {
        struct span path = x->target.path_and_query;
        if (span_equal(path, SPAN("*")))
            path = SPAN_NONE; // RFC 9112 section 3.2.4: the last proxy makes it "*"
        line.target = arena_printf(&x->arena, "http://%.*s%.*s", SPAN_PRINT(x->target.authority),
                                   SPAN_PRINT(path));
        if (parent->authorization.at && !x->was_sent)
            message_add(&x->request, SPAN("Proxy-Authorization"), parent->authorization);
    }
    x->was_sent = true;
    x->upload_is_void = false;
    outgoing->uses++;
    if (!outgoing->parser)
        outgoing->parser = http1_new(SIDE_OUTGOING, &response_events, outgoing);
    message_init(&x->response, &x->arena, false);
    http1_begin(outgoing->parser, &x->response, x->request.method);

    head = outbox_head(&outgoing->outbox);
    from = head->size;
    if (!http1_write_request(head, &x->request, &line)) {
        struct error error;
        error_set(&error, ERROR_LIMIT, "the request is too large");
        answer_error(x, ACTION_ERROR, 431, &error);
        return;
    }
    outbox_put_head(&outgoing->outbox, from);
    loop_timer_set(&outgoing->timer, x->settings->config->response_header_timeout_ms);
    if (x->request.framing == FRAMING_NONE || x->request_finished || x->request.expects_continue)
        exchange_flush_upload(x); // else it goes out together with the body's first bytes
    else
        stream_want(&outgoing->stream, STREAM_READ | STREAM_WRITE);
}

static bool may_retry(const struct exchange *x)
{
    return !x->got_response && !x->was_retried &&
           (x->outgoing->uses > 1 || !x->outgoing->is_fresh) && can_be_sent_again(x);
}

/* The origin's side of the exchange has failed. */
static void origin_failed(struct exchange *x, const struct error *error)
{
    struct session *session = x->session;
    bool again = may_retry(x);

    outgoing_close(x->outgoing, true);
    x->outgoing = NULL;
    if (again) {
        x->was_retried = true;
        count(x->proxy, METRIC_RETRIES);
        claim_connection(x, true);
        return;
    }
    if (x->status) {
        log_info("exchange=%llu the response broke off: %s", (unsigned long long)x->number,
                 error->text);
        x->action = ACTION_ERROR;
        cut(x);
        return;
    }
    if (x->is_local)
        answer_local(x);
    else
        answer_error(x, ACTION_ERROR, 0, error);
    if (session->state != SESSION_CLOSED)
        session_resume(session);
}

static void update_outgoing(struct exchange *x)
{
    struct outgoing *outgoing = x->outgoing;
    bool reads, writes;

    if (!outgoing)
        return;
    reads = outbox_is_empty(&x->session->outbox) && !x->download.in_pipe &&
            !loop_task_is_queued(&x->working);
    if (reads)
        backlog_go_on(&outgoing->backlog, outgoing->stream.fd, loop_now_ms(x->proxy->loop));
    else if (outgoing->stream.wanted & STREAM_READ)
        backlog_stop(&outgoing->backlog, outgoing->stream.fd, loop_now_ms(x->proxy->loop));
    writes = !x->upload_is_void && (!outbox_is_empty(&outgoing->outbox) || x->upload.in_pipe);
    stream_want(&outgoing->stream, (reads ? STREAM_READ : 0) | (writes ? STREAM_WRITE : 0));
}

/* The origin takes no more of the body; it may still have an answer for us. */
static void upload_broke(struct exchange *x)
{
    x->upload_is_void = true;
    x->uploads_by_splice = false;
    x->outgoing->is_tainted = true;
    flow_done(x->proxy, &x->upload);
}

static void enter_upload_splice(struct exchange *x)
{
    uint64_t left;

    if (x->uploads_by_splice || x->request_finished || x->is_paused || x->upload_is_void ||
        !outbox_is_empty(&x->outgoing->outbox) || x->session->early.size)
        return;
    left = http1_raw_left(x->parser);
    x->uploads_by_splice =
        left >= SPLICE_FROM_BYTES && flow_can_splice(&x->session->stream, &x->outgoing->stream);
}

/* The origin took bytes: it is alive. */
static void note_upload(struct exchange *x)
{
    const struct config *config = x->settings->config;

    if (!x->got_response)
        loop_timer_set(&x->outgoing->timer, config->response_header_timeout_ms);
    else if (x->response_finished)
        loop_timer_set(&x->outgoing->timer, config->idle_body_timeout_ms);
}

void exchange_flush_upload(struct exchange *x)
{
    struct outgoing *outgoing = x->outgoing;

    if (!outgoing)
        return;
    if (!x->upload_is_void) {
        uint64_t before = outgoing->outbox.written_bytes;
        if (!outbox_flush(&outgoing->outbox))
            upload_broke(x);
        metrics_add(x->proxy->metrics, METRIC_BYTES_TO_ORIGIN,
                    outgoing->outbox.written_bytes - before);
        if (outgoing->outbox.written_bytes != before)
            note_upload(x);
    }
    if (x->response_finished) {
        response_is_done(x, false);
        return;
    }
    enter_upload_splice(x);
    update_outgoing(x);
}

bool exchange_uploads_by_splice(const struct exchange *x)
{
    return x->uploads_by_splice && !x->upload.in_pipe;
}

static void splice_upload(struct exchange *x, bool takes_more)
{
    struct session *session = x->session;
    struct outgoing *outgoing = x->outgoing;
    uint64_t left = takes_more ? http1_raw_left(x->parser) : 0, taken, put;
    enum flow_outcome outcome =
        flow_splice(x->proxy, &x->upload, &session->stream, &outgoing->stream, left, &taken, &put);

    metrics_add(x->proxy->metrics, METRIC_BYTES_FROM_BROWSER, taken);
    metrics_add(x->proxy->metrics, METRIC_BYTES_TO_ORIGIN, put);
    if (put)
        note_upload(x);
    session_note_upload(session, taken);
    if (taken)
        http1_skip(x->parser, taken); // may raise on_request_finished()
    if (session->state == SESSION_CLOSED || session->exchange != x)
        return;
    switch (outcome) {
    case FLOW_DRY:
    case FLOW_BLOCKED:
    case FLOW_TURN_OVER:
    case FLOW_LIMIT:
        if (x->request_finished)
            x->uploads_by_splice = false;
        break;
    case FLOW_NO_PIPE:
        x->uploads_by_splice = false; // by copy, until the next flush tries again
        break;
    case FLOW_TO_LOST:
        upload_broke(x);
        break;
    case FLOW_ENDED:
    case FLOW_FROM_LOST:
        session_close(session, true);
        return;
    }
    if (x->response_finished) {
        response_is_done(x, false);
        return;
    }
    update_outgoing(x);
    session_update(session);
}

void exchange_splice_upload(struct exchange *x)
{
    splice_upload(x, true);
}

/* ---- the response ---- */

/* The exchange that holds the connection; NULL when it has let go of it in an earlier event. */
static struct exchange *of_parser(void *owner)
{
    struct exchange *x = ((struct outgoing *)owner)->owner;

    return x->is_over || x->outgoing != owner ? NULL : x;
}

static void on_interim(void *owner)
{
    struct exchange *x = of_parser(owner);
    struct buffer *head;
    struct outbox *outbox;
    size_t from;

    if (!x || x->request.version_minor == 0 || x->status)
        return;
    outbox = &x->session->outbox;
    if (x->response.status == 100 && !x->request.expects_continue)
        return; // nobody asked
    message_drop_hop_by_hop(&x->response);
    head = outbox_head(outbox);
    from = head->size;
    if (http1_write_response(head, &x->response, x->request.method, false))
        outbox_put_head(outbox, from);
}

/* Is it among the schemes of this list? */
static bool offers_per_connection_auth(struct span list)
{
    struct span element;

    while (span_next_element(&list, &element))
        if (speaks_per_connection_auth(element))
            return true;
    return false;
}

static void note_authentication(struct exchange *x)
{
    for (const struct field *field = message_find(&x->response, FIELD_WWW_AUTHENTICATE); field;
         field = message_find_next(&x->response, field))
        if (offers_per_connection_auth(field->value)) {
            x->outgoing->is_tainted = true;
            message_add(&x->response, SPAN("Proxy-Support"),
                        SPAN("Session-Based-Authentication")); // RFC 4559 section 6
            return;
        }
}

/* Images also where the browser has them already, or asks for a part. */
static bool may_be_dropped(const struct exchange *x)
{
    return x->response.status == 200 || x->response.status == 203 || x->response.status == 206 ||
           (x->response.status == 304 && x->judgement.type == TYPE_IMAGE);
}

/* By what only the response tells. False: it is dropped, and answered in its place. */
static bool judge_answer(struct exchange *x)
{
    struct case_file file = case_file_of(x);

    if (may_be_dropped(x) && judge_response(x->proxy->judge, &file, &x->response, &x->judgement)) {
        answer_stopped(x);
        return false;
    }
    if (message_find(&x->response, FIELD_SET_COOKIE) && judge_drops_cookies(&file, &x->judgement)) {
        message_drop(&x->response, FIELD_SET_COOKIE);
        count(x->proxy, METRIC_COOKIES_DROPPED);
        x->action = ACTION_MODIFIED;
    }
    if (x->directives.count && amend_response(judge_amender(x->proxy->judge), &x->directives,
                                              &x->response, x->judgement.type))
        x->action = ACTION_MODIFIED;
    return true;
}

static void put_response_head(struct exchange *x)
{
    struct message *response = &x->response;
    struct outbox *outbox = &x->session->outbox;
    struct buffer *head;
    size_t from;

    if (x->report.is_wanted) {
        if (x->rework.chain)
            report_note(&x->report, &x->arena, "body", SPAN("edited"));
        else if (x->action == ACTION_MODIFIED && x->report.changes.size == 0)
            report_note(&x->report, &x->arena, "more", SPAN("headers"));
        message_add(response, REPORT_FIELD, report_value(&x->report, &x->arena, SPAN_NONE));
    }
    x->status = response->status;
    if (response->framing == FRAMING_CHUNKED && x->request.version_minor == 0)
        response->framing = FRAMING_UNTIL_CLOSE;
    x->is_until_close = response->framing == FRAMING_UNTIL_CLOSE;
    if (!x->request.keep_alive || x->request.version_minor == 0 || x->is_until_close ||
        x->proxy->is_draining || (x->session->peer_finished && x->session->early.size == 0))
        x->close_browser = true;
    head = outbox_head(outbox);
    from = head->size;
    if (http1_write_response(head, response, x->request.method,
                             x->close_browser && !response->is_upgrade))
        outbox_put_head(outbox, from);
    else
        x->close_browser = true;
}

static void on_response_headers(void *owner)
{
    struct exchange *x = of_parser(owner);
    struct message *response;

    if (!x)
        return;
    response = &x->response;
    if (response->is_upgrade && (!x->request.is_upgrade || !x->request_finished)) {
        struct error error;
        error_set(&error, ERROR_SYNTAX, "the origin switched protocols %s",
                  x->request.is_upgrade ? "before the request had ended" : "unasked");
        origin_failed(x, &error);
        return;
    }
    report_strip(response);
    if (!x->is_local && !judge_answer(x))
        return;
    report_note_dropped(&x->report, &x->arena, response);
    note_authentication(x);
    x->is_event_stream =
        span_starts_nocase(message_value(response, FIELD_CONTENT_TYPE), SPAN("text/event-stream"));
    message_drop_hop_by_hop(response);
    if (message_find(response, FIELD_ALT_SVC))
        alternatives_strip(response);
    add_via(x, response);
    if (x->is_event_stream || !rework_response(&x->rework, response))
        put_response_head(x);
}

static void on_response_body(void *owner, struct span bytes)
{
    struct exchange *x = of_parser(owner);

    if (!x)
        return;
    x->response_bytes += bytes.size;
    if (!x->rework.chain)
        put_body(&x->session->outbox, x->response.framing, bytes);
    else if (!chain_give(x->rework.chain, bytes))
        assert(!"it is not read while the chain is busy");
}

static void on_response_finished(void *owner)
{
    struct exchange *x = of_parser(owner);

    if (!x)
        return;
    x->response_finished = true;
    if (x->rework.chain)
        chain_end(x->rework.chain);
    else if (x->response.framing == FRAMING_CHUNKED)
        put_last_chunk(&x->session->outbox, &x->response);
}

static void on_response_error(void *owner, const struct error *error, unsigned status)
{
    struct exchange *x = of_parser(owner);

    (void)status;
    if (!x)
        return;
    if (error->kind != ERROR_LOST)
        count(x->proxy, METRIC_BAD_RESPONSES);
    origin_failed(x, error);
}

static const struct phases_events response_events = {
    .on_interim = on_interim,
    .on_headers_finished = on_response_headers,
    .on_body = on_response_body,
    .on_finished = on_response_finished,
    .on_error = on_response_error,
};

static const struct outgoing_events bound_events;

/* The last read of a long body ends where the body does, so what comes behind it was not seen. */
static bool has_unseen(const struct exchange *x)
{
    int fd = stream_splice_fd(&x->outgoing->stream);
    char byte;

    return x->response_bytes >= LOOP_SCRATCH_BYTES / 2 && fd >= 0 &&
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* The response is parsed to its end: the connection goes back, or ends. */
static void let_outgoing_go(struct exchange *x, bool has_extra)
{
    struct outgoing *outgoing = x->outgoing;
    bool clean = !has_extra && x->response.keep_alive && !x->response.is_abnormal &&
                 x->request_finished && !x->upload_is_void && outbox_is_empty(&outgoing->outbox) &&
                 !x->upload.in_pipe && !has_unseen(x);

    x->outgoing = NULL;
    if (!clean) {
        outgoing_close(outgoing, false);
    } else if (outgoing->is_tainted) { // NTLM or Negotiate: it is this browser's own
        if (x->session->bound)
            outgoing_close(x->session->bound, false);
        x->session->bound = outgoing;
        outgoing->events = &bound_events;
        outgoing->owner = x->session;
        stream_want(&outgoing->stream, STREAM_READ);
        loop_timer_set(&outgoing->timer, x->settings->config->pool_idle_timeout_ms);
    } else {
        outgoing_release(outgoing);
    }
}

/* The origin answered before it had the whole request, and still takes the rest of it. */
static bool upload_goes_on(const struct exchange *x)
{
    bool is_whole =
        x->request_finished && outbox_is_empty(&x->outgoing->outbox) && !x->upload.in_pipe;

    return !is_whole && !x->upload_is_void && x->response.keep_alive && !x->response.is_abnormal;
}

static void response_is_done(struct exchange *x, bool has_extra)
{
    struct session *session = x->session;

    if (has_extra || !upload_goes_on(x)) {
        let_outgoing_go(x, has_extra);
        try_end(x);
    } else {
        enter_upload_splice(x);
        update_outgoing(x);
    }
    if (session->state == SESSION_BUSY && session->exchange == x)
        session_update(session);
}

static void drop_bound(void *owner)
{
    struct session *session = owner;
    struct outgoing *bound = session->bound;

    session->bound = NULL;
    if (bound)
        outgoing_close(bound, false);
}

static void look_at_bound(void *owner)
{
    struct session *session = owner;

    if (!outgoing_is_quiet(session->bound))
        drop_bound(session);
}

static const struct outgoing_events bound_events = { look_at_bound, drop_bound, drop_bound };

/* What the chain has made goes to the browser, as far as it is taken; is_all: it makes no more.
 * False: the browser is gone, and so is the exchange. */
static bool put_reworked(struct exchange *x, bool is_all)
{
    struct session *session = x->session;
    struct span bytes, rest;
    bool ends;

    do {
        rest = bytes = chain_output(x->rework.chain);
        if (bytes.size > CHAIN_OUTPUT_BYTES)
            bytes.size = CHAIN_OUTPUT_BYTES;
        if (bytes.size)
            put_body(&session->outbox, x->response.framing, bytes);
        ends = is_all && bytes.size == rest.size;
        if (ends)
            rework_trailers(&x->rework);
        if (ends && x->response.framing == FRAMING_CHUNKED)
            put_last_chunk(&session->outbox, &x->response);
        if (!outbox_flush(&session->outbox)) {
            session_close(session, true);
            return false;
        }
        x->reworked_bytes += bytes.size;
        chain_taken(x->rework.chain, bytes.size);
    } while (bytes.size < rest.size && outbox_is_empty(&session->outbox));
    if (ends)
        stop_rework(x);
    return true;
}

/* It is not what it says it is: it goes by as it came. */
static bool pass_by(struct exchange *x)
{
    struct session *session = x->session;
    struct span bytes = chain_raw(x->rework.chain);

    put_response_head(x);
    if (bytes.size)
        put_body(&session->outbox, x->response.framing, bytes);
    if (x->response_finished && x->response.framing == FRAMING_CHUNKED)
        put_last_chunk(&session->outbox, &x->response);
    if (!outbox_flush(&session->outbox)) {
        session_close(session, true);
        return false;
    }
    rework_done(&x->rework);
    return true;
}

/* The body cannot be undone: it is cut, so that the browser does not take it for whole. */
static void rework_failed(struct exchange *x, const struct error *error)
{
    log_info("exchange=%llu the response cannot be decoded: %s", (unsigned long long)x->number,
             error->text);
    count(x->proxy, METRIC_BAD_RESPONSES);
    x->action = ACTION_ERROR;
    if (x->outgoing)
        outgoing_close(x->outgoing, true);
    x->outgoing = NULL;
    cut(x);
}

/* A slice of work for the response's chain, when the browser has taken what was there. False: the
 * exchange is over. */
static bool rework_on(struct exchange *x)
{
    enum chain_state state;
    struct error error;

    if (!x->rework.chain || !outbox_is_empty(&x->session->outbox))
        return true;
    if (x->rework.is_waiting) {
        switch (rework_decide(&x->rework)) {
        case REWORK_WAITS:
            return true;
        case REWORK_PASSES:
            return pass_by(x);
        case REWORK_EDITS:
            put_response_head(x);
            break;
        }
    }
    state = chain_run(x->rework.chain, &error);
    if (!put_reworked(x, state == CHAIN_FINISHED))
        return false;
    if (state == CHAIN_FAILED) {
        rework_failed(x, &error);
        return false;
    }
    if (state == CHAIN_BUSY && outbox_is_empty(&x->session->outbox))
        loop_later(x->proxy->loop, &x->working);
    return true;
}

static void on_working(void *owner)
{
    struct exchange *x = owner;
    struct session *session = x->session;

    if (!rework_on(x))
        return;
    try_end(x);
    if (session->state != SESSION_BUSY || session->exchange != x)
        return;
    update_outgoing(x);
    session_update(session);
}

/* After bytes of the response: out with them, and on. */
static void relay_on(struct exchange *x, struct span rest)
{
    struct session *session = x->session;

    if (x->rework.chain) {
        if (!rework_on(x))
            return;
    } else if (!outbox_flush(&session->outbox)) {
        session_close(session, true);
        return;
    }
    if (x->response_finished) {
        if (x->response.is_upgrade) {
            become_tunnel(x, rest, false);
            return;
        }
        response_is_done(x, rest.size > 0);
        return;
    }
    if (!x->downloads_by_splice && x->status && !x->rework.chain &&
        outbox_is_empty(&session->outbox)) {
        uint64_t left = http1_raw_left(x->outgoing->parser);
        if (left == UINT64_MAX && x->response_bytes < SPLICE_FROM_BYTES)
            left = 0;
        x->downloads_by_splice =
            left >= SPLICE_FROM_BYTES && flow_can_splice(&x->outgoing->stream, &session->stream);
    }
    update_outgoing(x);
    session_update(session);
}

static void set_response_timer(struct exchange *x)
{
    const struct config *config = x->settings->config;

    if (!x->status && !x->rework.chain)
        return; // response_header_timeout goes on
    loop_timer_set(&x->outgoing->timer, x->is_event_stream ? config->tunnel_idle_timeout_ms
                                                           : config->idle_body_timeout_ms);
}

static bool is_alive(const struct exchange *x, const struct session *session)
{
    return session->state != SESSION_CLOSED && session->exchange == x && x->outgoing;
}

static void origin_ended(struct exchange *x)
{
    struct session *session = x->session;

    http1_end(x->outgoing->parser); // raises finished, or an error
    if (!is_alive(x, session) || !x->response_finished)
        return;
    x->response.keep_alive = false;
    relay_on(x, SPAN_NONE);
}

static void copy_download(struct exchange *x)
{
    struct session *session = x->session;
    struct outgoing *outgoing = x->outgoing;
    char *scratch = x->proxy->loop->scratch;
    size_t got = 0, eaten;
    struct error error;

    switch (stream_read(&outgoing->stream, scratch, LOOP_SCRATCH_BYTES, &got)) {
    case STREAM_OK:
        metrics_add(x->proxy->metrics, METRIC_BYTES_FROM_ORIGIN, got);
        x->got_response = true;
        eaten = http1_feed(outgoing->parser, span_of(scratch, got));
        if (!is_alive(x, session))
            return;
        set_response_timer(x);
        relay_on(x, span_from(span_of(scratch, got), eaten));
        break;
    case STREAM_WAIT:
        break;
    case STREAM_END:
        origin_ended(x);
        break;
    case STREAM_LOST:
        error_set(&error, ERROR_LOST, "the connection to %.*s was reset",
                  SPAN_PRINT(x->target.host));
        origin_failed(x, &error);
        break;
    }
}

static void splice_download(struct exchange *x, bool takes_more)
{
    struct session *session = x->session;
    struct outgoing *outgoing = x->outgoing;
    uint64_t left = takes_more ? http1_raw_left(outgoing->parser) : 0, taken, put;
    struct stream *from = outgoing ? &outgoing->stream : NULL;
    enum flow_outcome outcome =
        flow_splice(x->proxy, &x->download, from, &session->stream, left, &taken, &put);
    struct error error;

    metrics_add(x->proxy->metrics, METRIC_BYTES_FROM_ORIGIN, taken);
    metrics_add(x->proxy->metrics, METRIC_BYTES_TO_BROWSER, put);
    x->response_bytes += taken;
    if (put)
        session_note_progress(session);
    if (taken) {
        assert(outgoing);
        set_response_timer(x);
        http1_skip(outgoing->parser, taken); // may set response_finished
    }
    switch (outcome) {
    case FLOW_BLOCKED:
    case FLOW_DRY:
    case FLOW_TURN_OVER:
        break;
    case FLOW_LIMIT:
        if (x->outgoing && x->response_finished) {
            relay_on(x, SPAN_NONE);
            return;
        }
        if (x->response_finished) { // the origin's connection went while the browser was slow
            try_end(x);
            return;
        }
        break;
    case FLOW_NO_PIPE:
        x->downloads_by_splice = false;
        copy_download(x);
        return;
    case FLOW_ENDED:
        origin_ended(x);
        return;
    case FLOW_FROM_LOST:
        error_set(&error, ERROR_LOST, "the connection to %.*s was reset",
                  SPAN_PRINT(x->target.host));
        origin_failed(x, &error);
        return;
    case FLOW_TO_LOST:
        session_close(session, true);
        return;
    }
    update_outgoing(x);
    session_update(session);
}

static void on_origin_readable(void *owner)
{
    struct exchange *x = owner;

    if (x->response_finished) { // it ended, or says more than it was asked
        if (!outgoing_is_quiet(x->outgoing))
            response_is_done(x, true);
        return;
    }
    if (x->download.in_pipe) // these come first
        return;
    if (x->downloads_by_splice)
        splice_download(x, true);
    else
        copy_download(x);
}

static void on_origin_writable(void *owner)
{
    struct exchange *x = owner;
    struct session *session = x->session;

    if (x->upload.in_pipe) {
        splice_upload(x, true);
        return;
    }
    exchange_flush_upload(x);
    if (session->state == SESSION_BUSY)
        session_resume(session);
}

static void on_origin_timeout(void *owner)
{
    struct exchange *x = owner;
    struct error error;

    if (x->response_finished) { // it does not take the rest of the request
        count(x->proxy, METRIC_TIMEOUTS);
        response_is_done(x, true);
        return;
    }
    if (!outbox_is_empty(&x->session->outbox) || x->download.in_pipe ||
        loop_task_is_queued(&x->working)) {
        set_response_timer(x); // it is the browser that we wait for
        return;
    }
    if (!x->request_finished && !x->upload_is_void && !x->upload.in_pipe &&
        outbox_is_empty(&x->outgoing->outbox)) { // so it is here, with the request
        loop_timer_set(&x->outgoing->timer, x->settings->config->response_header_timeout_ms);
        return;
    }
    count(x->proxy, METRIC_TIMEOUTS);
    error_set(&error, ERROR_TIMEOUT, "%.*s %s in time", SPAN_PRINT(x->target.host),
              x->status ? "did not go on with its answer" : "did not answer");
    x->was_retried = true; // not again
    origin_failed(x, &error);
}

static const struct outgoing_events outgoing_events = {
    .on_readable = on_origin_readable,
    .on_writable = on_origin_writable,
    .on_timeout = on_origin_timeout,
};

/* ---- what the session tells ---- */

void exchange_browser_writable(struct exchange *x)
{
    struct session *session = x->session;

    if (!outbox_is_empty(&session->outbox))
        return;
    if (x->download.in_pipe) {
        splice_download(x, x->outgoing && !x->response_finished);
        return;
    }
    if (x->rework.chain) {
        on_working(x);
        return;
    }
    if (x->response_finished && !x->outgoing) {
        try_end(x);
        return;
    }
    update_outgoing(x);
}

void exchange_timed_out(struct exchange *x)
{
    struct error error;

    if (x->status) {
        cut(x);
        return;
    }
    error_set(&error, ERROR_TIMEOUT, "the request did not %s in time",
              x->head_finished ? "go on" : "end its header");
    answer(x, &(struct answer){
                  .status = 408,
                  .action = ACTION_REFUSED,
                  .text = span_text(error.text),
                  .close = true,
              });
    if (x->session->state != SESSION_CLOSED)
        session_update(x->session);
}
