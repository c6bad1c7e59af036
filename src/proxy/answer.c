#include "proxy/answer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "proxy/page_late.h"
#include "proxy/pages.h"
#include "proxy/passes.h"
#include "proxy/stubs.h"
#include "proxy/visit.h"

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

void answer_with(struct exchange *x, const struct answer *what)
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
    exchange_stop_rework(x);
    exchange_drop_outgoing(x);
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
        exchange_try_end(x);
}

void answer_error(struct exchange *x, enum exchange_action action, unsigned status,
                  const struct error *error)
{
    answer_with(x, &(struct answer){
                       .status = status ? status : page_status_of(error->kind),
                       .action = action,
                       .text = span_text(error->text),
                       .proxy_status = page_proxy_status_of(error->kind),
                   });
}

void answer_bad_request(struct exchange *x, unsigned status, const struct error *error)
{
    count(x->proxy, METRIC_BAD_REQUESTS);
    answer_with(x, &(struct answer){
                       .status = status,
                       .action = ACTION_REFUSED,
                       .text = span_text(error->text),
                       .proxy_status = SPAN("http_request_error"),
                       .close = true,
                   });
}

void answer_login(struct exchange *x)
{
    struct span realm = x->settings->config->auth_realm;
    struct span extra =
        arena_printf(&x->arena, "Proxy-Authenticate: Basic realm=\"%.*s\", charset=\"UTF-8\"\r\n",
                     SPAN_PRINT(realm));

    answer_with(x, &(struct answer){
                       .status = 407,
                       .action = ACTION_REFUSED,
                       .text = SPAN("This proxy wants a user name and a password."),
                       .extra = extra,
                   });
}

void answer_old_failure(struct exchange *x, struct scope *scope)
{
    struct error error = *scope->failure;

    free(scope->failure);
    scope->failure = NULL;
    answer_error(x, error.kind == ERROR_FORBIDDEN ? ACTION_REFUSED : ACTION_ERROR, 0, &error);
}

void answer_local(struct exchange *x)
{
    bool is_home = !x->is_local || span_equal(x->target.path_and_query, SPAN("/"));

    answer_with(
        x,
        &(struct answer){
            .status = is_home ? 200 : 503,
            .action = ACTION_LOCAL,
            .title = SPAN("This is dejunk"),
            .text = is_home ? SPAN("The proxy works. Whoever sees this page through it is served.")
                            : SPAN("The proxy works, but its own pages are not there now."),
        });
}

/* ---- what rules stop ---- */

/* The button of a block page: a form with a token for this client and host. */
static struct span way_on(struct exchange *x)
{
    struct buffer html = { .limit_bytes = 128 * 1024 };
    char token[VISIT_TOKEN_BYTES], client[ADDRESS_TEXT_BYTES];
    struct case_file file = exchange_case(x);
    struct span out = SPAN_NONE;

    if (!x->proxy->visit_secret || x->request.method != METHOD_GET || x->judgement.by_policy)
        return SPAN_NONE;
    visit_token(token, x->proxy->visit_secret, x->target.host,
                span_text(address_text(&x->session->peer, client)), clock_unix_ms());
    if (buffer_printf(&html,
                      "<form method=\"post\" action=\"http%s://dejunk/pass\">"
                      "<input type=\"hidden\" name=\"token\" value=\"%s\">"
                      "<input type=\"hidden\" name=\"host\" value=\"%.*s\">"
                      "<input type=\"hidden\" name=\"url\" value=\"",
                      exchange_is_secure(x) ? "s" : "", token, SPAN_PRINT(x->target.host)) &&
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

    answer_with(x, &(struct answer){
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
    answer_with(x, &what);
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
    answer_with(x, &(struct answer){
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
    answer_with(x, &(struct answer){
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

void answer_stopped(struct exchange *x)
{
    if (!answer_preflight(x) && !answer_stub(x))
        answer_blocked(x);
}

bool answer_late(struct exchange *x)
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
        answer_with(x, &(struct answer){
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
