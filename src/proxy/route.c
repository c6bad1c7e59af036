#include "proxy/route.h"

#include "proxy/amendment.h"
#include "proxy/answer.h"
#include "proxy/destination.h"
#include "proxy/sending.h"
#include "proxy/via.h"

bool route_is_own_name(struct span host)
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
    return route_is_own_name(host) || span_equal_nocase(host, SPAN("localhost"));
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
    sending_claim(x, false);
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
    answer_with(
        x, &(struct answer){
               .status = x->request.method == METHOD_OPTIONS ? 200 : 501,
               .action = ACTION_LOCAL,
               .text = SPAN("Max-Forwards has run out at this proxy."),
               .extra = SPAN("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, CONNECT\r\n"),
           });
    return true;
}

/* A relative target inside a tunnel names the tunnel's host, which Host must agree with. */
static bool take_scope(struct exchange *x)
{
    const struct scope *scope = x->session->scope;
    struct error error;

    if (x->request.target_form != TARGET_AUTHORITY && x->target.port == scope->port &&
        exchange_is_secure(x) == scope->is_secure && span_equal_nocase(x->target.host, scope->host))
        return true;
    error_set(&error, ERROR_SYNTAX, "this tunnel leads to %.*s:%u and nowhere else",
              SPAN_PRINT(scope->host), scope->port);
    answer_bad_request(x, 421, &error);
    return false;
}

/* ---- judgement ---- */

static void send_elsewhere(struct exchange *x, struct span url)
{
    answer_with(x, &(struct answer){
                       .status = 307,
                       .action = ACTION_MODIFIED,
                       .text = SPAN("A filter rule leads to another address."),
                       .extra = arena_printf(&x->arena, "Location: %.*s\r\n", SPAN_PRINT(url)),
                   });
}

static bool is_visit(const struct exchange *x)
{
    return x->judgement.type == TYPE_DOCUMENT && x->request.method == METHOD_GET;
}

/* A visit that rules stop may lead somewhere else. False: it does not. */
static bool skip_stopped(struct exchange *x, const struct case_file *file)
{
    struct directives directives;
    struct span url;

    if (!is_visit(x) || x->judgement.by_policy)
        return false;
    directives = judge_directives(x->proxy->judge, file, &x->judgement);
    url = amendment_skip(judge_amender(x->proxy->judge), &directives, file->url, true, &x->arena);
    if (!url.at)
        return false;
    report_note(&x->report, &x->arena, "url", url);
    send_elsewhere(x, url);
    return true;
}

/* What rules change in a request that goes on. False: it is answered with another place. */
static bool amend(struct exchange *x, const struct case_file *file)
{
    struct amender *amender = judge_amender(x->proxy->judge);
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
    url = amendment_url(amender, &x->directives, file->url, is_visit(x), &x->arena);
    if (!url.at)
        return true;
    x->action = ACTION_MODIFIED;
    report_note(&x->report, &x->arena, "url", url);
    if (!is_visit(x)) {
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
    send_elsewhere(x, url);
    return false;
}

bool route_may_use(void *owner, const struct address *address,
                   const struct resolve_answer *resolved, struct error *error)
{
    struct exchange *x = owner;
    struct case_file file;
    bool is_stopped = false;

    if (x->request.method == METHOD_CONNECT || x->is_local)
        return true;
    file = exchange_case(x);
    for (size_t i = 0; resolved && i < resolved->alias_count && !is_stopped; i++)
        is_stopped = judge_name(x->proxy->judge, &file, resolved->aliases[i], &x->judgement);
    if (!is_stopped)
        is_stopped = judge_address(x->proxy->judge, &file, address, &x->judgement);
    if (is_stopped)
        error_set(error, ERROR_FORBIDDEN, "a rule stops what the name stands for");
    return !is_stopped;
}

/* False: it is stopped or sent elsewhere, and answered. */
static bool judge(struct exchange *x)
{
    struct case_file file = exchange_case(x);

    if (x->request.method == METHOD_CONNECT) {
        judge_connect(x->proxy->judge, &file, &x->judgement);
        if (x->judgement.is_filtered && exchange_become_intercept(x))
            return false;
    } else {
        judge_request(x->proxy->judge, &file, &x->judgement);
    }
    if (x->judgement.is_stopped) {
        if (!skip_stopped(x, &file))
            answer_stopped(x);
        return false;
    }
    return x->request.method == METHOD_CONNECT || amend(x, &file);
}

/* ---- admission ---- */

/* Where it wants to go. False: it is answered, or our own pages are. */
static bool take_target(struct exchange *x)
{
    struct scope *scope = x->session->scope;
    enum target_form form = x->request.target_form;
    struct error error;

    if (form == TARGET_ASTERISK && !scope) {
        answer_local(x);
        return false;
    }
    if (form == TARGET_ORIGIN && !scope && !host_is_ours(x)) {
        error_set(&error, ERROR_SYNTAX, "this is a proxy: it wants the whole URL");
        answer_bad_request(x, 421, &error);
        return false;
    }
    if (target_split_in(&x->target, &x->request,
                        scope && scope->is_secure ? TARGET_HTTPS : TARGET_HTTP, &error)) {
        answer_bad_request(x, 400, &error);
        return false;
    }
    if (scope)
        return take_scope(x);
    if (form == TARGET_ORIGIN) {
        ask_local(x);
        return false;
    }
    if (exchange_is_secure(x)) {
        error_set(&error, ERROR_UNSUPPORTED,
                  "an https URL is asked for inside a tunnel (CONNECT), not in the open");
        answer_bad_request(x, 400, &error);
        return false;
    }
    return true;
}

static void after_admission(struct exchange *x)
{
    struct scope *scope = x->session->scope;
    struct destination to;
    struct error error;

    if (!take_target(x))
        return;
    if (via_is_loop(x)) {
        error_set(&error, ERROR_FORBIDDEN, "this request has been here before: it goes in a loop");
        answer_error(x, ACTION_REFUSED, 508, &error);
        return;
    }
    if (ends_here(x))
        return;
    if (route_is_own_name(x->target.host) && x->request.method != METHOD_CONNECT) {
        ask_local(x);
        return;
    }
    to = (struct destination){ .host = x->target.host,
                               .port = x->target.port,
                               .is_literal = target_is_literal(&x->target) };
    if (destination_check_port(x->settings, &to,
                               x->request.method == METHOD_CONNECT || exchange_is_secure(x),
                               &error)) {
        answer_error(x, ACTION_REFUSED, 403, &error);
        return;
    }
    if (answer_late(x) || !judge(x))
        return;
    if (scope && scope->failure &&
        loop_now_ms(x->proxy->loop) - scope->failed_ms <= SCOPE_FAILURE_MS)
        answer_old_failure(x, scope);
    else
        sending_claim(x, false);
}

static void on_password_checked(void *owner, bool is_good)
{
    struct exchange *x = owner;
    struct session *session = x->session;

    exchange_let_body_go(x);
    if (is_good) {
        x->user = x->claimed_user;
        after_admission(x);
    } else {
        answer_login(x);
    }
    if (session->state != SESSION_CLOSED)
        session_resume(session);
}

void route_request(struct exchange *x)
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
        exchange_hold_body(x);
        break;
    }
}
