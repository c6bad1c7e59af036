#include "daemon/administrator.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "daemon/installation.h"
#include "daemon/jail.h"
#include "daemon/orders.h"
#include "daemon/parcel.h"
#include "daemon/worker.h"

enum {
    LOCALS = 4 * CREW_WORKERS, // workers that drain are beside their successors
    MESSAGES_AT_ONCE = 16,
};

struct administrator;

struct local { // a channel to a worker
    struct administrator *of;
    int fd; // -1: free
    ev_io incoming;
};

struct administrator {
    struct loop *loop;
    struct admin *admin;
    const struct crew_begin *begin;
    int channel;
    struct orders orders;
    struct local locals[LOCALS];
    char state_dir[PATH_MAX];    // empty: there is none
    char control_path[PATH_MAX]; // the same
    bool is_jailed;
};

/* ---- what admin wants of the master ---- */

static void tell_master(struct administrator *it, const struct message *message)
{
    struct error error;

    if (message_send(it->channel, message, &error) != ERROR_NONE)
        log_error("%s", error.text);
}

static void reload(void *owner, uint64_t number)
{
    struct message message = message_of(MESSAGE_RELOAD);

    message.number.number = number;
    tell_master(owner, &message);
}

static void push(struct administrator *it, enum message_type type, uint64_t number,
                 struct span text)
{
    struct message message = message_of(type);
    struct error error;

    if (parcel_pack(&message.fd, &message.parcel.size_bytes, &text, 1, &error) != ERROR_NONE) {
        log_error("workers do not hear of %s: %s", message_name(type), error.text);
        return;
    }
    message.parcel.generation = number;
    tell_master(it, &message);
    close(message.fd);
}

static void push_passes(void *owner, uint64_t number, struct span text)
{
    push(owner, MESSAGE_PASSES, number, text);
}

static void push_learned(void *owner, uint64_t number, struct span text)
{
    push(owner, MESSAGE_LEARNED, number, text);
}

static void follow(void *owner, int fd)
{
    struct message message = message_of(fd >= 0 ? MESSAGE_FOLLOW : MESSAGE_NO_FOLLOW);

    message.fd = fd;
    tell_master(owner, &message);
}

static void read_counters(void *owner, uint64_t counters[METRICS_COUNT])
{
    const struct administrator *it = owner;

    for (size_t i = 0; i < METRICS_COUNT; i++)
        counters[i] = shared_sum(it->begin->shared, (enum metric)i);
}

static void read_hosts(void *owner, struct host_totals *totals)
{
    const struct administrator *it = owner;

    shared_hosts(it->begin->shared, totals);
}

/* ---- callers ---- */

static void local_close(struct local *local)
{
    ev_io_stop(local->of->loop->ev, &local->incoming);
    close(local->fd);
    local->fd = -1;
}

static void on_caller(struct ev_loop *ev, ev_io *watcher, int revents)
{
    struct local *local = watcher->data;

    (void)ev;
    (void)revents;
    for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
        struct message message;
        struct error error;
        enum message_outcome outcome = message_receive(local->fd, &message, &error);

        if (outcome == MESSAGE_WAIT)
            return;
        if (outcome == MESSAGE_GOT && message.type == MESSAGE_CALLER) {
            admin_take_caller(local->of->admin, message.fd);
            continue;
        }
        if (outcome == MESSAGE_GOT && message.type == MESSAGE_NOTE) {
            admin_take_note(local->of->admin,
                            span_of(message.note.packet, (size_t)message.note.size_bytes));
            continue;
        }
        if (outcome == MESSAGE_GOT && message.fd >= 0)
            close(message.fd);
        if (outcome != MESSAGE_END)
            log_error("a worker sent what it should not");
        local_close(local);
        return;
    }
}

/* Takes the descriptor over. */
static void local_open(struct administrator *it, int fd)
{
    struct local *local = it->locals;

    while (local < it->locals + LOCALS && local->fd >= 0)
        local++;
    if (local == it->locals + LOCALS) {
        log_error("more than %d workers", LOCALS);
        close(fd);
        return;
    }
    local->of = it;
    local->fd = fd;
    ev_io_init(&local->incoming, on_caller, fd, EV_READ);
    local->incoming.data = local;
    ev_io_start(it->loop->ev, &local->incoming);
}

/* ---- what the master says ---- */

/* State or control socket are somewhere else from now on, where this process may not go. */
static bool has_moved(const struct administrator *it, const struct config *config)
{
    char path[PATH_MAX];
    struct error error;

    if (it->is_jailed && admin_control_path(path, sizeof path, config) &&
        strcmp(path, it->control_path) != 0)
        return true;
    return installation_state_dir(path, sizeof path, config, &error) == ERROR_NONE &&
           strcmp(path, it->state_dir) != 0;
}

static enum error_kind on_config(void *owner, struct config *config, struct error *error)
{
    struct administrator *it = owner;

    (void)error;
    log_set_level(worker_log_level(config, it->begin->verbosity));
    if (!has_moved(it, config)) {
        admin_configure(it->admin, config);
        return ERROR_NONE;
    }
    log_notice("begins anew, for another state_dir or runtime_dir");
    orders_end(&it->orders, EX_OK);
    return ERROR_NONE;
}

static void use_state(struct administrator *it, const struct message_state *from)
{
    struct overview_state state = {
        .is_known = true,
        .is_serving = from->is_serving,
        .is_succeeded = from->is_succeeded,
        .is_signing = from->is_signing,
        .generation = from->generation,
        .reloads = from->reloads,
        .failed_reloads = from->failed_reloads,
        .reload_number = from->reload_number,
        .passes_number = from->passes_number,
        .last_reload_ms = from->last_reload_ms,
        .restarts = from->restarts,
        .workers = from->workers,
        .ready_workers = from->ready_workers,
        .started_ms = from->started_ms,
    };

    _Static_assert(sizeof state.reload_problem == sizeof from->last_error, "copied whole");
    memcpy(state.reload_problem, from->last_error, sizeof state.reload_problem);
    admin_use_state(it->admin, &state);
}

static bool on_message(void *owner, struct message *message)
{
    struct administrator *it = owner;

    switch (message->type) {
    case MESSAGE_STATE:
        use_state(it, &message->state);
        return true;
    case MESSAGE_LOCAL:
        local_open(it, message->fd);
        message->fd = -1;
        return true;
    case MESSAGE_DRAIN:
        orders_end(&it->orders, EX_OK);
        return true;
    default:
        return false;
    }
}

static const struct orders_events orders_events = { on_config, on_message };

/* ---- the process ---- */

static int serve(struct administrator *it)
{
    int exit_code = orders_serve(&it->orders, it->loop, it->channel, &orders_events, it);

    for (struct local *local = it->locals; local < it->locals + LOCALS; local++)
        if (local->fd >= 0)
            local_close(local);
    return exit_code;
}

/* Its files, its socket, and what the kernel tells of processes; the rest is behind walls. */
static enum error_kind enter_jail(struct administrator *it, const struct config *config,
                                  struct error *error)
{
    char runtime_dir[PATH_MAX] = "";
    struct jail_place places[3];
    size_t count = 0;
    char *slash;

    places[count++] = (struct jail_place){ "/proc", JAIL_READ };
    if (it->state_dir[0] != '\0')
        places[count++] = (struct jail_place){ it->state_dir, JAIL_KEEP };
    if (!admin_control_path(it->control_path, sizeof it->control_path, config))
        it->control_path[0] = '\0';
    memcpy(runtime_dir, it->control_path, sizeof runtime_dir);
    slash = strrchr(runtime_dir, '/');
    if (slash && slash > runtime_dir) {
        *slash = '\0';
        mkdir(runtime_dir, 0750); // opening the socket says what is wrong otherwise
        places[count++] = (struct jail_place){ runtime_dir, JAIL_SOCKETS };
    }
    it->is_jailed = true;
    return jail_enter_with(places, count, error);
}

int administrator_run(const struct crew_start *start)
{
    struct administrator it = { .begin = start->begin, .channel = start->channel };
    struct admin_setup setup = {
        .config = start->begin->config,
        .state_dir = it.state_dir,
        .master = getppid(),
        .visit_secret = start->begin->visit_secret,
        .seams = { reload, push_passes, push_learned, follow, read_counters, read_hosts, &it },
    };
    struct error error;
    int exit_code;

    log_start("admin", worker_log_level(start->begin->config, start->begin->verbosity));
    child_keep_only(&start->channel, 1);
    for (size_t i = 0; i < LOCALS; i++)
        it.locals[i].fd = -1;
    if (installation_state_dir(it.state_dir, sizeof it.state_dir, setup.config, &error) !=
        ERROR_NONE) {
        log_warning("passes will not outlive this process: %s", error.text);
        it.state_dir[0] = '\0';
    }
    if (loop_new(&it.loop, &error) != ERROR_NONE) {
        log_error("%s", error.text);
        return EX_OSERR;
    }
    if (jail_is_wanted() && enter_jail(&it, setup.config, &error) != ERROR_NONE) {
        log_error("%s", error.text);
        return EX_OSERR;
    }
    setup.loop = it.loop;
    it.admin = admin_new(&setup);
    exit_code = serve(&it);
    admin_free(&it.admin);
    loop_free(&it.loop);
    return exit_code;
}
