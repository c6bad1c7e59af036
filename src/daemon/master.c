#include "daemon/master.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/table.h"
#include "daemon/installation.h"
#include "daemon/notify.h"
#include "daemon/parcel.h"
#include "daemon/plan.h"
#include "daemon/rules.h"
#include "daemon/signing.h"
#include "daemon/supply.h"
#include "daemon/worker.h"
#include "proxy/stubs.h"
#include "proxy/visit.h"

enum {
    RELOAD_MS = 10000, // for all processes to take a new config
    SIGNER_MS = 10000, // for the signer to have its authority, before workers begin without
    SIGNALS = 6,
};

enum phase { STARTING, SERVING, DRAINING };

struct master {
    struct loop *loop;
    const struct daemon_options *options;
    enum phase phase;
    int exit_code;
    struct config *config;
    struct listeners listeners;
    struct names *names;
    struct rules *rules;
    struct stubs *stubs;
    struct listeners inherited; // systemd's or a predecessor's, until our own are open
    unsigned char visit_secret[VISIT_SECRET_BYTES];
    unsigned char site_secret[INSTALLATION_SECRET_BYTES];
    struct notify notify;
    struct crew_begin begin; // what the next worker begins with; borrows from all of this
    struct crew *crew;
    const struct crew_role *roles; // borrowed
    size_t role_count;
    char pseudonym[INSTALLATION_PSEUDONYM_BYTES];
    ev_signal signals[SIGNALS];
    unsigned ends_asked; // TERM and INT

    // reloads
    uint64_t generation, failed_reloads;
    uint64_t rules_generation;
    uint64_t started_ms, last_reload_ms;              // since 1970
    uint64_t passes_told, passes_taken;               // generations of PASSES messages
    uint64_t reload_asked, reload_begun, reload_done; // numbers of RELOAD messages
    bool has_begun;                                   // listens, and processes were started
    bool awaits_signer; // and workers, which are started when it has said what it signs for
    bool awaits_config, awaits_rules; // of the reload that is under way
    bool is_reloading, reload_again;  // again: asked for while it could not be, as the next
    bool successor_wanted, is_succeeded;
    struct loop_timer reload_patience;
    char last_error[MESSAGE_TEXT_BYTES]; // of the last reload; empty: it went well

    uint64_t signer_mark; // of the authority that it has
    struct loop_timer signer_patience;
    struct loop_timer tickets; // the next key

    struct loop_timer watchdog;
    struct succession_program program;
    struct succession *succession; // we start a successor
    int predecessor;               // we are one; its channel, or -1
    ev_io from_predecessor;
};

/* ---- what the outside is told ---- */

static void say_status(const struct master *master, char *to, size_t size)
{
    struct crew_counts counts = crew_counts(master->crew);

    if (master->last_error[0] != '\0')
        snprintf(to, size, "%zu of %zu workers serve, config %llu; the last reload failed: %s",
                 counts.serving_workers, counts.workers, (unsigned long long)master->generation,
                 master->last_error);
    else
        snprintf(to, size, "%zu of %zu workers serve, config %llu", counts.serving_workers,
                 counts.workers, (unsigned long long)master->generation);
}

static void tell_ready(const struct master *master)
{
    char status[MESSAGE_TEXT_BYTES + 128];

    say_status(master, status, sizeof status);
    notify_ready(&master->notify, status);
}

/* To whoever shows it. */
static void tell_state(struct master *master)
{
    struct message message = message_of(MESSAGE_STATE);
    struct crew_counts counts = crew_counts(master->crew);
    struct message_state *state = &message.state;

    state->generation = master->generation;
    state->reloads = master->generation - 1 + master->failed_reloads;
    state->failed_reloads = master->failed_reloads;
    state->restarts = counts.restarts;
    state->workers = (uint32_t)counts.workers;
    state->ready_workers = (uint32_t)counts.serving_workers;
    state->reload_number = master->reload_done;
    state->passes_number = master->passes_taken;
    state->last_reload_ms = master->last_reload_ms;
    state->started_ms = master->started_ms;
    state->is_signing = master->begin.authority.size_bytes > 0;
    state->is_serving = master->phase == SERVING && master->predecessor < 0;
    state->is_succeeded = master->is_succeeded;
    message_set_text(state->last_error, sizeof state->last_error, master->last_error);
    crew_tell_others(master->crew, &message);
}

static void on_watchdog(void *owner)
{
    struct master *master = owner;

    notify_watchdog(&master->notify);
    loop_timer_set(&master->watchdog, master->notify.watchdog_ms / 2);
}

/* ---- access log ---- */

/* Takes the descriptor over. */
static void use_access_log(struct master *master, int fd)
{
    struct message message = message_of(fd >= 0 ? MESSAGE_ACCESS_LOG : MESSAGE_NO_ACCESS_LOG);

    message.fd = fd;
    if (master->begin.access_log >= 0)
        close(master->begin.access_log);
    master->begin.access_log = fd;
    crew_tell_workers(master->crew, &message);
}

static void reopen_logs(struct master *master)
{
    struct error error;
    int fd;

    if (!master->has_begun)
        return; // it is not open yet
    if (plan_open_access_log(&fd, master->config, &error) != ERROR_NONE) {
        log_error("the old access log stays: %s", error.text);
        return;
    }
    use_access_log(master, fd);
    log_notice("logs are open anew");
}

/* ---- names ---- */

static void send_names(struct master *master)
{
    struct message message = message_of(MESSAGE_NAMES);
    struct names_texts texts = names_texts(master->names);
    const struct span both[] = { texts.resolv_conf, texts.hosts };
    struct error error;
    uint64_t size;

    master->begin.names = texts;
    message.names.resolv_conf_bytes = texts.resolv_conf.size;
    message.names.hosts_bytes = texts.hosts.size;
    if (parcel_pack(&message.fd, &size, both, 2, &error) != ERROR_NONE) {
        log_error("workers do not hear of new name servers: %s", error.text);
        return;
    }
    crew_tell_workers(master->crew, &message);
    close(message.fd);
}

static void on_names_changed(void *owner)
{
    struct master *master = owner;

    log_notice("resolv.conf or hosts changed");
    send_names(master);
}

/* ---- rules ---- */

static void take_rules(struct master *master, bool is_new, const char *problem)
{
    struct message message = message_of(MESSAGE_RULES);

    message.fd = rules_fd(master->rules, &message.parcel.size_bytes);
    master->begin.rules = message.fd;
    if (problem) {
        log_error("%s: %s",
                  message.fd >= 0 ? "the last good rules stay in force"
                                  : "without rules, everything is only relayed",
                  problem);
        message_set_text(master->last_error, sizeof master->last_error, problem);
    }
    if (!is_new || !master->has_begun)
        return;
    message.parcel.generation = ++master->rules_generation;
    crew_tell_workers(master->crew, &message);
    log_notice("new rules are in force");
}

/* ---- what admin wants ---- */

static void check_reloaded(struct master *master);

static void on_settled(void *owner)
{
    struct master *master = owner;

    master->passes_taken = master->passes_told;
    tell_state(master);
    check_reloaded(master);
}

/* Kept for workers to come; takes the descriptor over. */
static void use_passes(struct master *master, struct message *message)
{
    if (master->begin.passes >= 0)
        close(master->begin.passes);
    master->begin.passes = message->fd;
    master->begin.passes_bytes = message->parcel.size_bytes;
    master->passes_told = message->parcel.generation;
    crew_tell_workers(master->crew, message);
    message->fd = -1;
    if (crew_is_settled(master->crew)) // there is no worker yet
        on_settled(master);
}

/* Takes the message's descriptor over. */
static void keep_parcel(struct parcel *kept, struct message *message)
{
    if (kept->fd >= 0)
        close(kept->fd);
    *kept = (struct parcel){ message->fd, message->parcel.size_bytes };
    message->fd = -1;
}

static void use_learned(struct master *master, struct message *message)
{
    master->passes_told = message->parcel.generation;
    crew_tell_workers(master->crew, message);
    keep_parcel(&master->begin.learned, message);
    if (crew_is_settled(master->crew)) // there is no worker yet
        on_settled(master);
}

static void start_workers(struct master *master);

/* The signer says what it signs for: nothing, or the chain that is sent with its leaves. One that
 * was only replaced says the same as before, and workers keep their leaves. */
static void use_authority(struct master *master, struct message *message)
{
    master->signer_mark = signing_mark(master->config); // it may have made its authority now
    crew_tell_workers(master->crew, message);           // also that it is the same
    keep_parcel(&master->begin.authority, message);
    tell_state(master);
    start_workers(master);
}

static void on_tickets(void *owner)
{
    struct master *master = owner;
    struct message message = message_of(MESSAGE_TICKETS);

    supply_renew_tickets(&master->begin.tickets);
    message.tickets = master->begin.tickets;
    crew_tell_workers(master->crew, &message);
    loop_timer_set(&master->tickets, SUPPLY_TICKETS_MS);
}

static void use_follow(struct master *master, struct message *message)
{
    log_follow(message->fd);
    if (master->begin.follow >= 0)
        close(master->begin.follow);
    master->begin.follow = message->fd;
    crew_tell_workers(master->crew, message);
    message->fd = -1;
}

static void start_reload(struct master *master);

static void on_asked(void *owner, struct message *message)
{
    struct master *master = owner;

    switch (message->type) {
    case MESSAGE_RELOAD:
        master->reload_asked = message->number.number;
        start_reload(master);
        break;
    case MESSAGE_PASSES:
        use_passes(master, message);
        break;
    case MESSAGE_LEARNED:
        use_learned(master, message);
        break;
    case MESSAGE_AUTHORITY:
        use_authority(master, message);
        break;
    case MESSAGE_FOLLOW:
    case MESSAGE_NO_FOLLOW:
        use_follow(master, message);
        break;
    default:
        break;
    }
}

static void on_changed(void *owner)
{
    tell_state(owner);
}

/* ---- reload ---- */

/* Addresses that went away, then those that are new. */
static void tell_listeners(struct master *master, const struct listeners *old)
{
    for (size_t i = 0; i < old->count; i++) {
        struct message unlisten = message_of(MESSAGE_UNLISTEN);

        if (listeners_find(&master->listeners, old->items[i]->name))
            continue;
        snprintf(unlisten.listener.name, sizeof unlisten.listener.name, "%s", old->items[i]->name);
        crew_tell_workers(master->crew, &unlisten);
        log_notice("no longer listening on %s", old->items[i]->name);
    }
    for (size_t i = 0; i < master->listeners.count; i++) {
        if (listeners_find(old, master->listeners.items[i]->name))
            continue;
        crew_listen(master->crew, master->listeners.items[i]);
        log_notice("listening on %s", master->listeners.items[i]->name);
    }
}

/* Where the authority is another, so is the signer. */
static void check_signer(struct master *master)
{
    uint64_t mark = signing_mark(master->config);

    if (mark == master->signer_mark)
        return;
    master->signer_mark = mark;
    for (size_t i = 0; i < master->role_count; i++)
        if (master->roles[i].run == signing_run)
            crew_replace(master->crew, &master->roles[i]);
}

static void use_trust(struct master *master, struct plan *plan)
{
    struct message message = message_of(MESSAGE_TRUST);

    message.fd = plan->trust.fd;
    message.parcel.size_bytes = plan->trust.size_bytes;
    crew_tell_workers(master->crew, &message);
    keep_parcel(&master->begin.trust, &message);
    plan->trust.fd = -1;
}

/* From here on nothing can fail. The plan is left with what is no longer in force. */
static void use_plan(struct master *master, struct plan *plan)
{
    struct message configure = message_of(MESSAGE_CONFIGURE);
    struct config *old_config = master->config;
    struct listeners old_listeners = master->listeners;
    size_t workers = plan_workers(plan->config);

    configure.fd = plan->sources;
    configure.parcel.size_bytes = plan->sources_bytes;
    configure.parcel.generation = ++master->generation;
    master->config = master->begin.config = plan->config;
    plan->config = old_config;
    master->listeners = plan->listeners;
    plan->listeners = old_listeners;
    log_set_level(worker_log_level(master->config, master->options->verbosity));
    use_trust(master, plan); // first: the config may name what is in it
    crew_configure(master->crew, &configure);
    check_signer(master);
    use_access_log(master, plan->access_log);
    plan->access_log = -1;
    if (names_set_paths(master->names, master->config->resolv_conf, master->config->hosts_file))
        send_names(master);
    tell_listeners(master, &old_listeners);
    listeners_trim(&master->listeners, workers); // first: the worker then holds it alone
    crew_set_size(master->crew, workers);
    master->awaits_config = master->awaits_rules = true;
    rules_build(master->rules, master->config);
}

static void start_reload(struct master *master);
static void start_successor(struct master *master);

/* What signals asked for when it could not be. */
static void do_what_waits(struct master *master)
{
    if (master->reload_again) {
        master->reload_again = false;
        start_reload(master);
    }
    if (master->successor_wanted && !master->is_reloading) {
        master->successor_wanted = false;
        start_successor(master);
    }
}

static void finish_reload(struct master *master)
{
    master->is_reloading = false;
    master->reload_done = master->reload_begun;
    master->last_reload_ms = clock_unix_ms();
    loop_timer_stop(&master->reload_patience);
    tell_ready(master);
    tell_state(master);
    do_what_waits(master);
}

/* When every process has the new config, and the rules that were made from it. */
static void check_reloaded(struct master *master)
{
    if (master->is_reloading && !master->awaits_config && !master->awaits_rules &&
        crew_is_settled(master->crew)) // who hangs is killed, and then owes nothing
        finish_reload(master);
}

static void on_reload_patience_over(void *owner)
{
    struct master *master = owner;

    log_warning("not every process has taken config %llu in time",
                (unsigned long long)master->generation);
    master->awaits_config = false;
    check_reloaded(master);
}

static void on_configured(void *owner)
{
    struct master *master = owner;

    if (!master->is_reloading || !master->awaits_config)
        return;
    log_notice("config %llu is in force", (unsigned long long)master->generation);
    loop_timer_stop(&master->reload_patience);
    master->awaits_config = false;
    check_reloaded(master);
}

static void begin(struct master *master);

static void on_rules_built(void *owner, bool is_new, const char *problem)
{
    struct master *master = owner;

    take_rules(master, is_new, problem);
    if (!master->has_begun) {
        begin(master);
        return;
    }
    master->awaits_rules = false;
    check_reloaded(master);
}

static const struct rules_events rules_events = { on_rules_built };

static enum error_kind make_plan(const struct master *master, struct plan *out, struct error *error)
{
    struct plan plan;
    enum error_kind kind = plan_read(&plan, master->options, error);

    if (kind != ERROR_NONE)
        return kind;
    kind = plan_open(&plan, &master->listeners, error);
    if (kind != ERROR_NONE) {
        plan_done(&plan);
        return kind;
    }
    *out = plan;
    return ERROR_NONE;
}

static void start_reload(struct master *master)
{
    struct plan plan;
    struct error error;

    if (master->phase == DRAINING)
        return;
    if (master->is_reloading || master->phase == STARTING) {
        master->reload_again = true;
        return;
    }
    master->is_reloading = true;
    master->reload_begun = master->reload_asked;
    notify_reloading(&master->notify);
    if (make_plan(master, &plan, &error) != ERROR_NONE) {
        log_error("the reload failed, the old config stays: %s", error.text);
        message_set_text(master->last_error, sizeof master->last_error, error.text);
        master->failed_reloads++;
        finish_reload(master); // which may begin the next: as often as was asked for, not deeper
        return;
    }
    master->last_error[0] = '\0';
    loop_timer_set(&master->reload_patience, RELOAD_MS);
    use_plan(master, &plan);
    plan_done(&plan);
}

/* ---- the end ---- */

static void end_now(struct master *master, int exit_code)
{
    master->exit_code = exit_code;
    loop_stop(master->loop);
}

static void drain(struct master *master, int64_t within_ms)
{
    master->phase = DRAINING;
    master->is_reloading = master->reload_again = false;
    loop_timer_stop(&master->reload_patience);
    loop_timer_stop(&master->signer_patience);
    master->awaits_signer = false;
    succession_free(&master->succession);
    crew_drain(master->crew, within_ms);
    listeners_done(&master->listeners);
}

static void on_empty(void *owner)
{
    struct master *master = owner;

    log_notice("drained");
    end_now(master, EX_OK);
}

static void on_hopeless(void *owner, int exit_code)
{
    end_now(owner, exit_code == 0 ? EX_SOFTWARE : exit_code);
}

static void on_end_asked(struct master *master)
{
    if (++master->ends_asked > 1) {
        log_notice("ends at once");
        end_now(master, EX_OK);
        return;
    }
    log_notice("drains for at most %llu ms", (unsigned long long)master->config->drain_ms);
    notify_stopping(&master->notify);
    drain(master, (int64_t)master->config->drain_ms);
}

/* ---- successor ---- */

static void on_successor_ready(void *owner, int pid)
{
    struct master *master = owner;

    log_notice("pid %d is the service now; drains as long as its exchanges last", pid);
    notify_main_pid(&master->notify, pid);
    notify_close(&master->notify);
    loop_timer_stop(&master->watchdog);
    master->is_succeeded = true;
    tell_state(master); // before the other reads what ours has kept
    succession_go_on(master->succession);
    drain(master, -1);
}

static void on_successor_failed(void *owner, const char *why)
{
    struct master *master = owner;

    log_error("the successor failed, this process goes on: %s", why);
    succession_free(&master->succession);
}

static const struct succession_events succession_events = { on_successor_ready,
                                                            on_successor_failed };

static void start_successor(struct master *master)
{
    struct error error;

    if (master->phase == DRAINING)
        return;
    if (master->succession) {
        log_warning("no successor now: one is being started");
        return;
    }
    if (master->is_reloading || master->phase == STARTING) {
        master->successor_wanted = true;
        return;
    }
    if (!master->program.path) {
        log_error("no successor: it is not known how this program was started");
        return;
    }
    log_notice("starts %s as successor", master->program.path);
    if (succession_start(&master->succession, master->loop, &master->program, &master->listeners,
                         master->begin.shared, &master->begin.tickets, &succession_events, master,
                         &error) != ERROR_NONE)
        log_error("no successor: %s", error.text);
}

/* ---- being one ---- */

static void begin_service(struct master *master)
{
    if (master->predecessor >= 0) {
        ev_io_stop(master->loop->ev, &master->from_predecessor);
        close(master->predecessor);
        master->predecessor = -1;
        notify_main_pid(&master->notify, getpid());
    }
    tell_ready(master);
    tell_state(master);
    if (master->notify.watchdog_ms > 0)
        on_watchdog(master);
    log_notice("serves");
}

/* GO_ON, or the end of the predecessor, come to the same: the service is ours. */
static void on_predecessor(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct master *master = watcher->data;
    struct message message;
    enum message_outcome outcome = message_receive(master->predecessor, &message, NULL);

    (void)ev;
    (void)revents;
    if (outcome == MESSAGE_WAIT)
        return;
    if (outcome == MESSAGE_GOT && message.fd >= 0)
        close(message.fd);
    if (outcome == MESSAGE_GOT && message.type != MESSAGE_GO_ON)
        return;
    if (master->phase == STARTING) { // it gave up on us
        end_now(master, EX_TEMPFAIL);
        return;
    }
    begin_service(master);
}

static void on_complete(void *owner)
{
    struct master *master = owner;
    struct message ready = message_of(MESSAGE_READY);

    if (master->phase != STARTING)
        return;
    master->phase = SERVING;
    if (master->predecessor >= 0)
        message_send(master->predecessor, &ready, NULL); // GO_ON follows, or its end
    else
        begin_service(master);
    do_what_waits(master);
}

/* ---- signals ---- */

static void on_signal(struct ev_loop *ev, ev_signal *watcher, int revents)
{
    struct master *master = watcher->data;

    (void)ev;
    (void)revents;
    switch (watcher->signum) {
    case SIGHUP:
        start_reload(master);
        break;
    case SIGUSR1:
        reopen_logs(master);
        break;
    case SIGUSR2:
        start_successor(master);
        break;
    case SIGTERM:
    case SIGINT:
        on_end_asked(master);
        break;
    case SIGQUIT:
        log_notice("config=%llu failed_reloads=%llu restarts=%llu last_error=\"%s\"",
                   (unsigned long long)master->generation,
                   (unsigned long long)master->failed_reloads,
                   (unsigned long long)crew_counts(master->crew).restarts, master->last_error);
        crew_dump(master->crew);
        break;
    default:
        break;
    }
}

static void watch_signals(struct master *master)
{
    static const int numbers[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGQUIT };

    _Static_assert(sizeof numbers / sizeof *numbers == SIGNALS, "a watcher for each");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ev_signal_init(&master->signals[i], on_signal, numbers[i]);
        master->signals[i].data = master;
        ev_signal_start(master->loop->ev, &master->signals[i]);
    }
    signal(SIGPIPE, SIG_IGN);
}

/* The end is near, and one more signal does not make it another one. */
static void unwatch_signals(struct master *master)
{
    for (size_t i = 0; i < SIGNALS; i++) {
        ev_signal_stop(master->loop->ev, &master->signals[i]);
        signal(master->signals[i].signum, SIG_IGN);
    }
}

/* ---- the master ---- */

static const struct crew_events crew_events = {
    .on_complete = on_complete,
    .on_hopeless = on_hopeless,
    .on_configured = on_configured,
    .on_asked = on_asked,
    .on_settled = on_settled,
    .on_changed = on_changed,
    .on_empty = on_empty,
};

/* The sockets that there are already: systemd's or the predecessor's. */
static enum error_kind adopt_sockets(struct listeners *set, struct error *error)
{
    int fds[NOTIFY_SOCKETS];
    size_t count = 0;
    enum error_kind kind = notify_take_sockets(fds, &count, error);

    for (size_t i = 0; i < count && kind == ERROR_NONE; i++) {
        struct message_listener about = { .is_shared = 1, .is_passed = 1 };

        listener_name_of(fds[i], about.name);
        kind = listeners_adopt(set, &about, fds[i], error);
    }
    return kind;
}

int master_exit_code(enum error_kind kind)
{
    switch (kind) {
    case ERROR_CONFIG:
    case ERROR_LIMIT:
        return EX_CONFIG;
    case ERROR_ADDRESS:
        return EX_UNAVAILABLE;
    default:
        return EX_OSERR;
    }
}

/* With the first rules at hand: nothing passes unjudged. */
static void begin(struct master *master)
{
    struct plan plan = {
        .config = master->config, .access_log = -1, .sources = -1, .trust = { .fd = -1 }
    };
    struct error error;
    enum error_kind kind;

    if (master->phase != STARTING)
        return;
    master->has_begun = true;
    kind = plan_open(&plan, &master->inherited, &error);
    master->listeners = plan.listeners;
    master->begin.access_log = plan.access_log;
    listeners_done(&master->inherited);
    if (kind != ERROR_NONE) {
        log_error("%s", error.text);
        end_now(master, master_exit_code(kind));
        return;
    }
    listeners_trim(&master->listeners, plan_workers(master->config));
    for (size_t i = 0; i < master->listeners.count; i++)
        log_notice("listening on %s%s", master->listeners.items[i]->name,
                   master->listeners.items[i]->is_passed ? ", passed by systemd" : "");
    master->awaits_signer = true;
    loop_timer_set(&master->signer_patience, SIGNER_MS);
    crew_start_others(master->crew);
}

static void start_workers(struct master *master)
{
    if (!master->awaits_signer || master->phase != STARTING)
        return;
    master->awaits_signer = false;
    loop_timer_stop(&master->signer_patience);
    crew_set_size(master->crew, plan_workers(master->config));
}

static void on_signer_patience_over(void *owner)
{
    log_error("the signer does not begin; no https is opened");
    start_workers(owner);
}

static enum error_kind open_all(struct master *master, struct inheritance *inheritance,
                                struct error *error)
{
    struct plan plan;
    enum error_kind kind = plan_read(&plan, master->options, error);

    if (kind != ERROR_NONE)
        return kind;
    master->config = master->begin.config = plan.config;
    plan.config = NULL;
    master->begin.trust = plan.trust;
    plan.trust.fd = -1;
    plan_done(&plan);
    log_set_level(worker_log_level(master->config, master->options->verbosity));
    kind = loop_new(&master->loop, error);
    if (kind != ERROR_NONE)
        return kind;
    loop_timer_init(&master->reload_patience, master->loop, on_reload_patience_over, master);
    loop_timer_init(&master->watchdog, master->loop, on_watchdog, master);
    loop_timer_init(&master->signer_patience, master->loop, on_signer_patience_over, master);
    loop_timer_init(&master->tickets, master->loop, on_tickets, master);
    watch_signals(master); // before anybody can see that we are there
    kind = adopt_sockets(&inheritance->listeners, error);
    if (kind == ERROR_NONE && !inheritance->shared)
        kind = shared_new(&inheritance->shared, error);
    if (kind != ERROR_NONE)
        return kind;
    master->inherited = inheritance->listeners;
    inheritance->listeners.count = 0;
    master->begin.shared = inheritance->shared;
    inheritance->shared = NULL;
    master->begin.tickets = inheritance->tickets;
    master->predecessor = inheritance->channel;
    inheritance->channel = -1;
    return ERROR_NONE;
}

/* What the service can do without is a warning. */
static void open_rest(struct master *master)
{
    struct error error;

    if (notify_open(&master->notify, &error) != ERROR_NONE)
        log_warning("the service manager is not told: %s", error.text);
    if (succession_program_read(&master->program, &error) != ERROR_NONE)
        log_warning("%s", error.text);
    if (installation_pseudonym(master->pseudonym, master->config, &error) != ERROR_NONE)
        log_warning("%s", error.text);
    if (installation_secret(master->site_secret, master->config, &error) != ERROR_NONE)
        log_warning("%s", error.text);
    master->names = names_new(master->loop, master->config->resolv_conf, master->config->hosts_file,
                              on_names_changed, master);
}

enum error_kind master_new(struct master **out, const struct master_setup *setup,
                           struct inheritance *inheritance, struct error *error)
{
    struct master *master = calloc(1, sizeof *master);
    enum error_kind kind;

    if (!master)
        abort();
    master->options = setup->options;
    master->generation = 1;
    master->predecessor = master->notify.fd = master->begin.access_log = -1;
    master->begin.rules = master->begin.passes = master->begin.follow = -1;
    master->begin.authority.fd = master->begin.trust.fd = master->begin.learned.fd = -1;
    master->roles = setup->roles;
    master->role_count = setup->role_count;
    kind = open_all(master, inheritance, error);
    inheritance_done(inheritance);
    if (kind != ERROR_NONE) {
        master_free(&master);
        return kind;
    }
    open_rest(master);
    master->begin.listeners = &master->listeners;
    master->begin.names = names_texts(master->names);
    master->begin.via_pseudonym = span_text(master->pseudonym);
    master->begin.stubs = master->stubs = stubs_read(NULL);
    random_bytes(master->visit_secret, sizeof master->visit_secret);
    master->begin.visit_secret = master->visit_secret;
    master->begin.site_secret = master->site_secret;
    master->started_ms = clock_unix_ms();
    master->rules = rules_new(master->loop, &rules_events, master);
    master->begin.verbosity = setup->options->verbosity;
    if (master->begin.tickets.count == 0)
        supply_renew_tickets(&master->begin.tickets);
    loop_timer_set(&master->tickets, SUPPLY_TICKETS_MS);
    master->crew = crew_new(master->loop, &master->begin, setup->roles, setup->role_count,
                            &crew_events, master);
    *out = master;
    return ERROR_NONE;
}

int master_run(struct master *master)
{
    if (master->predecessor >= 0) {
        ev_io_init(&master->from_predecessor, on_predecessor, master->predecessor, EV_READ);
        master->from_predecessor.data = master;
        ev_io_start(master->loop->ev, &master->from_predecessor);
    }
    rules_build(master->rules, master->config);
    loop_run(master->loop);
    return master->exit_code;
}

static void close_parcel(struct parcel *parcel)
{
    if (parcel->fd >= 0)
        close(parcel->fd);
    parcel->fd = -1;
}

void master_free(struct master **master)
{
    struct master *old = *master;

    if (!old)
        return;
    if (old->loop) {
        unwatch_signals(old);
        loop_timer_stop(&old->watchdog);
        loop_timer_stop(&old->reload_patience);
        loop_timer_stop(&old->signer_patience);
        loop_timer_stop(&old->tickets);
        succession_free(&old->succession);
    }
    rules_free(&old->rules);
    stubs_free(&old->stubs);
    log_follow(-1);
    crew_free(&old->crew);
    names_free(&old->names);
    notify_close(&old->notify);
    listeners_done(&old->listeners);
    listeners_done(&old->inherited);
    shared_free(&old->begin.shared);
    if (old->begin.access_log >= 0)
        close(old->begin.access_log);
    if (old->begin.passes >= 0)
        close(old->begin.passes);
    if (old->begin.follow >= 0)
        close(old->begin.follow);
    close_parcel(&old->begin.authority);
    close_parcel(&old->begin.trust);
    close_parcel(&old->begin.learned);
    if (old->predecessor >= 0) {
        ev_io_stop(old->loop->ev, &old->from_predecessor);
        close(old->predecessor);
    }
    succession_program_done(&old->program);
    config_unref(&old->config);
    loop_free(&old->loop);
    free(old);
    *master = NULL;
}
