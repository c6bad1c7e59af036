#include "admin/admin.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/control.h"
#include "admin/exposition.h"
#include "admin/front.h"
#include "base/keep.h"
#include "admin/learner.h"
#include "admin/pac.h"
#include "admin/processes.h"
#include "admin/web.h"
#include "base/clock.h"
#include "base/log.h"
#include "proxy/visit.h"

enum {
    EXPIRY_MOST_MS = 60 * 60 * 1000, // the clock may be set: look again after this at the latest
    CONTROL_AGAIN_MS = 5000,
    WORKERS_PATIENCE_MS = 3000, // for all of them to have new passes
    FOLLOWED_AT_ONCE = 64,
    FOLLOWED_BYTES = 20 * 1024, // one packet, which is one line
};

struct pending { // a caller that waits for a reload to end, or for workers to have its pass
    struct control_caller *caller;
    uint64_t number;
    bool is_reload;
    bool is_problem; // the text is an error
    char text[400];  // the answer, when it is no reload
};

struct admin {
    struct loop *loop;
    struct config *config;
    struct admin_seams seams;
    int master;
    char state_dir[PATH_MAX];
    struct web *web;
    struct control *control; // NULL: not the service yet, or it cannot be opened
    struct loop_timer control_again;
    struct passbook *book;
    struct loop_timer expiry;
    struct learner *learner;
    unsigned char visit_secret[VISIT_SECRET_BYTES];
    bool has_visit_secret;
    struct arena answer_arena; // what an answer points to until it is written
    struct overview_state state;
    struct pending pending[CONTROL_CALLERS];
    size_t pending_count;
    struct loop_timer patience;
    uint64_t number; // of the last reload or passes: greater than any of who was here before
    int follow[2];   // packets go into [1] and come out of [0]; -1: nobody follows
    ev_io followed;
};

/* ---- the book of passes ---- */

static bool book_path(const struct admin *admin, char path[PATH_MAX])
{
    int size = snprintf(path, PATH_MAX, "%s/passes", admin->state_dir);

    return admin->state_dir[0] != '\0' && size > 0 && size < PATH_MAX;
}

static void set_expiry(struct admin *admin)
{
    uint64_t next = passbook_next_end_ms(admin->book), now = clock_unix_ms(), wait;

    if (next == PROXY_PASS_FOR_GOOD) {
        loop_timer_stop(&admin->expiry);
        return;
    }
    wait = next > now ? next - now : 1;
    loop_timer_set(&admin->expiry, wait < EXPIRY_MOST_MS ? wait : EXPIRY_MOST_MS);
}

/* To the disk and to the workers. What cannot be kept is in force all the same, and said. */
static enum error_kind publish(struct admin *admin, bool is_kept, struct error *error)
{
    struct buffer text = { .limit_bytes = PASSBOOK_TEXT_BYTES };
    enum error_kind kind = ERROR_NONE;
    char path[PATH_MAX];
    struct error why;

    is_kept |= admin->state.is_succeeded; // the file is somebody else's now
    if (!passbook_write(admin->book, &text))
        abort(); // the limit is that of a full book
    if (!is_kept && !book_path(admin, path))
        kind = error_set(&why, ERROR_LIMIT, "no state directory");
    else if (!is_kept)
        kind = keep_write(path, buffer_span(&text), 0600, NULL, &why);
    if (kind != ERROR_NONE)
        error_set(error, kind, "in force, but not kept: %s", why.text);
    admin->seams.push_passes(admin->seams.owner, ++admin->number, buffer_span(&text));
    buffer_release(&text);
    set_expiry(admin);
    return kind;
}

static void on_expiry(void *owner)
{
    struct admin *admin = owner;
    struct error error;

    if (!passbook_expire(admin->book, clock_unix_ms())) {
        set_expiry(admin);
        return;
    }
    if (publish(admin, false, &error) != ERROR_NONE)
        log_error("passes are %s", error.text);
}

static void read_book(struct admin *admin)
{
    struct buffer text = { .limit_bytes = PASSBOOK_TEXT_BYTES };
    struct error error;
    char path[PATH_MAX];
    enum error_kind kind = ERROR_NONE;

    if (!book_path(admin, path))
        return;
    kind = keep_read(path, &text, &error);
    if (kind == ERROR_NONE && text.size > 0)
        kind = passbook_read(admin->book, buffer_span(&text), &error);
    if (kind != ERROR_NONE)
        keep_put_aside(path, &error, "passes given before are not in force");
    buffer_release(&text);
    passbook_expire(admin->book, clock_unix_ms());
    publish(admin, true, NULL);
}

/* ---- what was learned ---- */

static void push_learned(void *owner, struct span text)
{
    struct admin *admin = owner;

    admin->seams.push_learned(admin->seams.owner, ++admin->number, text);
}

void admin_take_note(struct admin *admin, struct span packet)
{
    learner_take_note(admin->learner, packet);
}

/* ---- what is shown ---- */

static void look(struct admin *admin, struct overview *out)
{
    out->now_ms = clock_unix_ms();
    out->state = admin->state;
    admin->seams.read_counters(admin->seams.owner, out->counters);
    admin->seams.read_hosts(admin->seams.owner, &out->hosts);
    if (admin->state_dir[0] != '\0')
        lists_read(&out->lists, admin->state_dir);
    passbook_expire(admin->book, out->now_ms);
    out->passes = passbook_view(admin->book);
    out->intercept = admin->config->intercept;
    out->learned = learner_counts(admin->learner);
    processes_read(&out->processes, admin->master);
}

/* Zeroed: the lists alone are too much for the stack. */
static struct overview *overview_of(struct admin *admin)
{
    struct overview *overview = calloc(1, sizeof *overview);

    if (!overview)
        abort(); // out of memory; the master starts another
    look(admin, overview);
    return overview;
}

static void show_front(struct admin *admin, const struct web_request *request,
                       struct web_answer *answer)
{
    struct overview *overview = overview_of(admin);

    answer->content_type = "text/html; charset=utf-8";
    answer->policy = FRONT_POLICY;
    answer->status =
        front_write(&answer->body, overview, request->client, request->user) ? 200 : 500;
    free(overview);
}

static void show_style(struct admin *admin, const struct web_request *request,
                       struct web_answer *answer)
{
    (void)admin;
    (void)request;
    answer->content_type = "text/css; charset=utf-8";
    answer->status = buffer_append(&answer->body, front_style()) ? 200 : 500;
}

static void show_metrics(struct admin *admin, const struct web_request *request,
                         struct web_answer *answer)
{
    struct overview *overview = overview_of(admin);

    (void)request;
    answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    answer->status = exposition_write(&answer->body, overview) ? 200 : 500;
    free(overview);
}

static void show_health(struct admin *admin, const struct web_request *request,
                        struct web_answer *answer)
{
    const struct overview_state *state = &admin->state;
    bool is_well = state->is_known && state->is_serving && state->ready_workers > 0;

    (void)request;
    answer->status = is_well ? 200 : 503;
    buffer_printf(&answer->body, "%s\n", is_well ? "ok" : "not serving");
}

/* Where this proxy is, for who asks by our own name: the first listener; one that listens on all
 * addresses is at least on the loopback. */
static struct span listener_of(const struct config *config, char to[64])
{
    struct span listen = config->listen.count > 0 ? config->listen.items[0] : SPAN("");

    if (listen.size == 0 || listen.size >= 64)
        return SPAN("127.0.0.1:8119");
    if (span_starts(listen, SPAN("0.0.0.0:")) || span_starts(listen, SPAN("[::]:"))) {
        size_t colon = listen.size;
        int size;

        while (listen.at[colon - 1] != ':')
            colon--;
        size = snprintf(to, 64, "127.0.0.1:%.*s", SPAN_PRINT(span_from(listen, colon)));
        return span_of(to, (size_t)size);
    }
    return listen;
}

static void show_pac(struct admin *admin, const struct web_request *request,
                     struct web_answer *answer)
{
    char room[64];
    struct span listener = listener_of(admin->config, room);

    answer->content_type = "application/x-ns-proxy-autoconfig";
    answer->status = pac_write(&answer->body, request->host, listener) ? 200 : 500;
}

/* "Go on anyway" of a block page: the token is good once, for this client and this host. */
static void let_in(struct admin *admin, const struct web_request *request,
                   struct web_answer *answer)
{
    struct arena arena;
    struct span token, host, url;
    struct error error;
    uint64_t number, now_ms = clock_unix_ms();

    arena_init(&arena, WEB_ARENA_BYTES);
    token = web_form_value(&arena, request->form, SPAN("token"));
    host = web_form_value(&arena, request->form, SPAN("host"));
    url = web_form_value(&arena, request->form, SPAN("url"));
    answer->status = 403;
    answer->content_type = "text/plain; charset=utf-8";
    if (!token.at || !host.at || !url.at || !admin->has_visit_secret ||
        !visit_check(token, admin->visit_secret, host, request->client, now_ms, &number)) {
        buffer_append(&answer->body,
                      SPAN("This way on is not good (any more). Go back and load the "
                           "page again.\n"));
        arena_done(&arena);
        return;
    }
    passbook_expire(admin->book, now_ms);
    if (!passbook_use_token(admin->book, number, now_ms + VISIT_GOOD_MS)) {
        buffer_append(&answer->body, SPAN("This way on was taken before. Go back and load the page "
                                          "again.\n"));
    } else if (passbook_give(admin->book, host, request->client, now_ms + VISIT_GOOD_MS, &error)) {
        buffer_printf(&answer->body, "%s\n", error.text);
    } else {
        if (publish(admin, false, &error) != ERROR_NONE)
            log_error("a pass is %s", error.text);
        log_notice("%.*s goes on to %.*s for 10 minutes", SPAN_PRINT(request->client),
                   SPAN_PRINT(host));
        answer->status = 303;
        answer->held_until = admin->number; // else the browser may come to a worker without it
        if (span_starts(url, SPAN("http://")) || span_starts(url, SPAN("https://")))
            answer->location = arena_copy(&admin->answer_arena, url);
    }
    arena_done(&arena);
}

static void on_page(void *owner, const struct web_request *request, struct web_answer *answer)
{
    static const struct {
        const char *path;
        void (*show)(struct admin *admin, const struct web_request *request,
                     struct web_answer *answer);
    } pages[] = {
        { "/", show_front },         { "/style.css", show_style }, { "/metrics", show_metrics },
        { "/healthz", show_health }, { "/proxy.pac", show_pac },   { "/wpad.dat", show_pac },
    };

    if (request->is_post) {
        arena_reset(&((struct admin *)owner)->answer_arena);
        if (span_equal(request->path, SPAN("/pass")))
            let_in(owner, request, answer);
        return;
    }
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (span_equal(request->path, span_text(pages[i].path))) {
            pages[i].show(owner, request, answer);
            return;
        }
}

static const struct web_events web_events = { on_page };

/* ---- following the log ---- */

static void stop_following(struct admin *admin)
{
    if (admin->follow[0] < 0)
        return;
    admin->seams.follow(admin->seams.owner, -1);
    log_follow(-1);
    ev_io_stop(admin->loop->ev, &admin->followed);
    close(admin->follow[0]);
    close(admin->follow[1]);
    admin->follow[0] = admin->follow[1] = -1;
}

static void on_followed(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct admin *admin = watcher->data;
    char line[FOLLOWED_BYTES];

    (void)ev;
    (void)revents;
    for (int i = 0; i < FOLLOWED_AT_ONCE && admin->follow[0] >= 0; i++) {
        ssize_t got = recv(admin->follow[0], line, sizeof line, MSG_DONTWAIT);

        if (got <= 0)
            return;
        if (line[got - 1] != '\n') // longer than any
            line[got - 1] = '\n';
        if (admin->control)
            control_tell(admin->control, span_of(line, (size_t)got));
    }
}

static enum error_kind start_following(struct admin *admin, struct error *error)
{
    if (admin->follow[0] >= 0)
        return ERROR_NONE;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, admin->follow) < 0) {
        admin->follow[0] = admin->follow[1] = -1;
        return error_errno(error, ERROR_SYSTEM, "the log cannot be followed");
    }
    ev_io_init(&admin->followed, on_followed, admin->follow[0], EV_READ);
    admin->followed.data = admin;
    ev_io_start(admin->loop->ev, &admin->followed);
    log_follow(admin->follow[1]);
    admin->seams.follow(admin->seams.owner, admin->follow[1]);
    return ERROR_NONE;
}

/* ---- commands ---- */

static void answer_status(struct admin *admin, struct control_caller *caller, bool wants_json)
{
    struct overview *overview = overview_of(admin);
    struct buffer text = { .limit_bytes = CONTROL_ANSWER_BYTES - 64 };
    bool is_whole =
        wants_json ? overview_write_json(&text, overview) : overview_write_text(&text, overview);

    control_answer(caller, is_whole ? NULL : "there is too much to tell", buffer_span(&text));
    buffer_release(&text);
    free(overview);
}

static struct pending *add_pending(struct admin *admin, struct control_caller *caller)
{
    struct pending *pending = &admin->pending[admin->pending_count++]; // as many as callers

    assert(admin->pending_count <= CONTROL_CALLERS);
    *pending = (struct pending){ .caller = caller, .number = admin->number };
    return pending;
}

static void start_reload(struct admin *admin, struct control_caller *caller)
{
    admin->number++;
    add_pending(admin, caller)->is_reload = true;
    log_notice("a reload is asked for on the control socket");
    admin->seams.reload(admin->seams.owner, admin->number);
}

static void answer_reload(struct admin *admin, struct control_caller *caller)
{
    const struct overview_state *state = &admin->state;
    struct buffer text = { .limit_bytes = 2048 };

    if (state->reload_problem[0] != '\0') {
        control_answer(caller, state->reload_problem, SPAN(""));
        return;
    }
    buffer_printf(&text, "config number %llu is in force\n", (unsigned long long)state->generation);
    control_answer(caller, NULL, buffer_span(&text));
    buffer_release(&text);
}

static bool is_done(const struct admin *admin, const struct pending *pending)
{
    return pending->number <=
           (pending->is_reload ? admin->state.reload_number : admin->state.passes_number);
}

/* Those that need not wait any longer; with is_late also those that wait for workers. */
static void answer_pending(struct admin *admin, bool is_late)
{
    web_let_go(admin->web, admin->state.passes_number);
    for (size_t i = admin->pending_count; i > 0; i--) {
        struct pending done = admin->pending[i - 1];

        if (!is_done(admin, &done) && (done.is_reload || !is_late))
            continue;
        admin->pending[i - 1] = admin->pending[--admin->pending_count];
        if (done.is_reload)
            answer_reload(admin, done.caller);
        else
            control_answer(done.caller, done.is_problem ? done.text : NULL,
                           done.is_problem ? SPAN("") : span_text(done.text));
    }
}

/* A worker that hangs is replaced by one that has them. */
static void on_patience_over(void *owner)
{
    answer_pending(owner, true);
}

static void describe(struct buffer *text, const struct control_request *request)
{
    bool is_pause = request->verb == CONTROL_PAUSE;
    char time[OVERVIEW_TIME_BYTES];

    if (is_pause && request->for_ms == 0)
        buffer_append(text, SPAN("filtering goes on"));
    else if (is_pause)
        buffer_append(text, SPAN("nothing is filtered"));
    else
        buffer_printf(text, "%.*s is %s", SPAN_PRINT(request->host),
                      request->for_ms == 0 ? "filtered again" : "not filtered");
    if (request->client.size > 0)
        buffer_printf(text, " for %.*s", SPAN_PRINT(request->client));
    if (request->for_ms > 0 && request->for_ms != CONTROL_ALWAYS_MS)
        buffer_printf(text, ", for %s", overview_duration(request->for_ms, time));
    buffer_append(text, SPAN("\n"));
}

static enum error_kind change_book(struct admin *admin, const struct control_request *request,
                                   struct error *error)
{
    struct span host = request->verb == CONTROL_PAUSE ? SPAN("") : request->host;
    uint64_t until_ms = request->for_ms == CONTROL_ALWAYS_MS ? PROXY_PASS_FOR_GOOD
                                                             : clock_unix_ms() + request->for_ms;
    enum error_kind kind = ERROR_NONE;

    passbook_expire(admin->book, clock_unix_ms());
    if (request->for_ms > 0)
        kind = passbook_give(admin->book, host, request->client, until_ms, error);
    else if (!passbook_take_back(admin->book, host, request->client) &&
             request->verb == CONTROL_ALLOW)
        return error_set(error, ERROR_SYNTAX, "there is no such pass");
    return kind == ERROR_NONE ? publish(admin, false, error) : kind;
}

/* What was done is answered when every worker has it, what is in force and not kept, too; what was
 * not done at once. `before` is the number of the last one that workers were told. */
static void answer_when_taken(struct admin *admin, struct control_caller *caller, uint64_t before,
                              const struct buffer *text, const struct error *problem)
{
    struct pending *pending;

    if (problem && admin->number == before) {
        control_answer(caller, problem->text, SPAN(""));
        return;
    }
    if (!problem)
        log_notice("%.*s", (int)text->size - 1, text->at);
    pending = add_pending(admin, caller);
    pending->is_problem = problem;
    snprintf(pending->text, sizeof pending->text, "%.*s",
             SPAN_PRINT(problem ? span_text(problem->text) : buffer_span(text)));
    loop_timer_set(&admin->patience, WORKERS_PATIENCE_MS);
}

static enum error_kind change_learned(struct admin *admin, const struct control_request *request,
                                      struct buffer *text, struct error *error)
{
    uint64_t until_ms =
        request->for_ms == CONTROL_ALWAYS_MS ? LEARNED_ALWAYS : clock_unix_ms() + request->for_ms;
    size_t count;
    enum error_kind kind;

    switch (request->verb) {
    case CONTROL_ENROL:
        kind = learner_enrol(admin->learner, request->client, request->family, until_ms, error);
        buffer_printf(text, "https of %.*s is opened\n", SPAN_PRINT(request->client));
        return kind;
    case CONTROL_UNENROL:
        kind = learner_unenrol(admin->learner, request->client, request->family, error);
        buffer_printf(text, "https of %.*s is no longer opened\n", SPAN_PRINT(request->client));
        return kind;
    default:
        kind = learner_forget(admin->learner, request->host, &count, error);
        buffer_printf(text, "%.*s is passed through no more\n", SPAN_PRINT(request->host));
        return kind;
    }
}

static void take_learned(struct admin *admin, struct control_caller *caller,
                         const struct control_request *request)
{
    struct buffer text = { .limit_bytes = sizeof admin->pending->text - 1 };
    uint64_t before = admin->number;
    struct error error;
    bool is_good = change_learned(admin, request, &text, &error) == ERROR_NONE;

    answer_when_taken(admin, caller, before, &text, is_good ? NULL : &error);
    buffer_release(&text);
}

static void show_learned(struct admin *admin, struct control_caller *caller, bool is_enrolled)
{
    struct buffer text = { .limit_bytes = CONTROL_ANSWER_BYTES - 64 };
    bool is_whole = is_enrolled ? learner_show_enrolled(admin->learner, &text)
                                : learner_show_tunnels(admin->learner, &text);

    control_answer(caller, is_whole ? NULL : "there is too much to tell", buffer_span(&text));
    buffer_release(&text);
}

static void take_change(struct admin *admin, struct control_caller *caller,
                        const struct control_request *request)
{
    struct buffer text = { .limit_bytes = sizeof admin->pending->text - 1 };
    uint64_t before = admin->number;
    struct error error;
    bool is_good = change_book(admin, request, &error) == ERROR_NONE;

    describe(&text, request);
    answer_when_taken(admin, caller, before, &text, is_good ? NULL : &error);
    buffer_release(&text);
}

static void on_command(void *owner, struct control_caller *caller,
                       const struct control_request *request)
{
    struct admin *admin = owner;
    struct error error;

    switch (request->verb) {
    case CONTROL_STATUS:
        answer_status(admin, caller, request->wants_json);
        break;
    case CONTROL_RELOAD:
        start_reload(admin, caller);
        break;
    case CONTROL_LOG:
        if (start_following(admin, &error) == ERROR_NONE)
            control_follow(caller);
        else
            control_answer(caller, error.text, SPAN(""));
        break;
    case CONTROL_PAUSE:
    case CONTROL_ALLOW:
        take_change(admin, caller, request);
        break;
    case CONTROL_ENROLLED:
    case CONTROL_LEARNED:
        show_learned(admin, caller, request->verb == CONTROL_ENROLLED);
        break;
    case CONTROL_ENROL:
    case CONTROL_UNENROL:
    case CONTROL_FORGET:
        take_learned(admin, caller, request);
        break;
    }
}

static void on_command_gone(void *owner, struct control_caller *caller)
{
    struct admin *admin = owner;

    for (size_t i = 0; i < admin->pending_count; i++)
        if (admin->pending[i].caller == caller) {
            admin->pending[i] = admin->pending[--admin->pending_count];
            return;
        }
    if (admin->control && control_followers(admin->control) == 0)
        stop_following(admin);
}

static const struct control_events control_events = { on_command, on_command_gone };

/* ---- the control socket ---- */

bool admin_control_path(char *to, size_t size, const struct config *config)
{
    char directory[PATH_MAX];
    int length;

    if (config->runtime_dir.size >= sizeof directory)
        return false;
    if (config->runtime_dir.size > 0)
        snprintf(directory, sizeof directory, "%.*s", SPAN_PRINT(config->runtime_dir));
    else if (!config_default_dir(CONFIG_RUNTIME_DIR, directory, sizeof directory))
        return false;
    length = snprintf(to, size, "%s/control.sock", directory);
    return length > 0 && (size_t)length < size;
}

static void open_control(struct admin *admin)
{
    char path[PATH_MAX];
    struct error error;

    if (!admin_control_path(path, sizeof path, admin->config)) {
        log_warning("no control socket: no runtime directory is known (runtime_dir)");
        return;
    }
    if (admin->control && strcmp(control_path(admin->control), path) == 0)
        return;
    control_free(&admin->control);
    stop_following(admin);
    if (control_open(&admin->control, admin->loop, path, &control_events, admin, &error) !=
        ERROR_NONE) {
        log_error("%s", error.text);
        loop_timer_set(&admin->control_again, CONTROL_AGAIN_MS);
    }
}

static void on_control_again(void *owner)
{
    open_control(owner);
}

/* ---- life ---- */

struct admin *admin_new(const struct admin_setup *setup)
{
    struct admin *admin = calloc(1, sizeof *admin);

    if (!admin)
        abort(); // out of memory; the master starts another
    admin->loop = setup->loop;
    admin->config = setup->config;
    config_ref(admin->config);
    admin->seams = setup->seams;
    admin->master = setup->master;
    admin->follow[0] = admin->follow[1] = -1;
    snprintf(admin->state_dir, sizeof admin->state_dir, "%s", setup->state_dir);
    loop_timer_init(&admin->expiry, admin->loop, on_expiry, admin);
    loop_timer_init(&admin->control_again, admin->loop, on_control_again, admin);
    loop_timer_init(&admin->patience, admin->loop, on_patience_over, admin);
    admin->number = clock_unix_ms();
    arena_init(&admin->answer_arena, WEB_ARENA_BYTES);
    if (setup->visit_secret) {
        memcpy(admin->visit_secret, setup->visit_secret, sizeof admin->visit_secret);
        admin->has_visit_secret = true;
    }
    admin->web = web_new(admin->loop, &web_events, admin);
    admin->book = passbook_new();
    admin->seams.follow(admin->seams.owner, -1); // of who was here before
    read_book(admin);
    admin->learner = learner_new(admin->loop, admin->state_dir, push_learned, admin);
    return admin;
}

void admin_free(struct admin **admin)
{
    struct admin *old = *admin;

    *admin = NULL;
    if (!old)
        return;
    loop_timer_stop(&old->expiry);
    loop_timer_stop(&old->control_again);
    loop_timer_stop(&old->patience);
    control_free(&old->control);
    stop_following(old);
    web_free(&old->web);
    passbook_free(&old->book);
    learner_free(&old->learner);
    arena_done(&old->answer_arena);
    config_unref(&old->config);
    free(old);
}

void admin_take_caller(struct admin *admin, int fd)
{
    web_take(admin->web, fd);
}

void admin_configure(struct admin *admin, struct config *config)
{
    config_ref(config);
    config_unref(&admin->config);
    admin->config = config;
    if (admin->state.is_serving)
        open_control(admin);
}

void admin_use_state(struct admin *admin, const struct overview_state *state)
{
    bool is_first = state->is_serving && !admin->state.is_serving;
    bool is_last = state->is_succeeded && !admin->state.is_succeeded;

    admin->state = *state;
    if (is_last)
        learner_hand_over(admin->learner);
    if (is_first) {
        open_control(admin);
        read_book(admin); // who was the service until now may have changed it
        learner_read_again(admin->learner);
    }
    answer_pending(admin, false);
}
