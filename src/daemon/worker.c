#include "daemon/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "admin/passbook.h"
#include "base/log.h"
#include "daemon/child.h"
#include "daemon/jail.h"
#include "daemon/names.h"
#include "daemon/orders.h"
#include "daemon/packets.h"
#include "daemon/supply.h"
#include "proxy/learned.h"
#include "trust/sign.h"

enum {
    LOG_BYTES = 64 * 1024,    // lines that wait to be written; beyond, they are lost and counted
    LOG_WRITE_AT = 32 * 1024, // written at once from here on
    LOG_WAIT_MS = 200,        // else after this
    PIPE_PIECE_BYTES = 4096,  // PIPE_BUF: whole lines, never mixed with other workers', no wait
};

struct access_log { // lines gathered, so that a busy worker writes seldom
    int fd;         // -1: none
    bool is_file;   // writing to it waits for no reader
    struct buffer lines;
    struct loop_timer soon;
    uint64_t lost; // lines, since it was last said
};

struct worker_listener {
    char name[MESSAGE_NAME_BYTES];
    int fd;
};

struct worker {
    struct loop *loop;
    struct proxy *proxy;
    struct config *config;
    int channel;
    int verbosity;
    struct orders orders;
    struct worker_listener listeners[LISTENERS_MOST];
    size_t listener_count;
    struct access_log log;
    int local;
    struct packets signer; // packets of trust/sign.h
    int follow;            // each line of the log as a packet; -1: nobody follows
    bool is_draining;
};

enum log_level worker_log_level(const struct config *config, int verbosity)
{
    int level = (int)config->log_level + verbosity;

    if (level < LOG_LEVEL_ERROR)
        return LOG_LEVEL_ERROR;
    return level > LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG : (enum log_level)level;
}

/* ---- access log ---- */

static bool is_regular(int fd)
{
    struct stat about;

    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

/* As much as one write may take: everything for a file, whole lines up to a pipe's atomic size
 * else. A line longer than that goes alone. */
static size_t log_piece(const struct access_log *log)
{
    struct span lines = buffer_span(&log->lines);
    size_t size = 0;

    if (log->is_file || lines.size <= PIPE_PIECE_BYTES)
        return lines.size;
    for (;;) {
        size_t line = span_find_byte(span_from(lines, size), '\n') + 1;

        if (size > 0 && size + line > PIPE_PIECE_BYTES)
            return size;
        size += line;
        if (size >= lines.size)
            return lines.size;
    }
}

static bool log_takes_more(const struct access_log *log)
{
    struct pollfd writable = { .fd = log->fd, .events = POLLOUT };

    return log->is_file || (poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT));
}

/* A log that cannot be written (disk full, reader gone or slow) costs its lines, nothing else. */
static void log_flush(struct access_log *log)
{
    while (log->lines.size > 0 && log_takes_more(log)) {
        size_t piece = log_piece(log);
        ssize_t written = write(log->fd, log->lines.at, piece);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        buffer_consume(&log->lines, (size_t)written);
    }
    if (log->lost > 0 && log->lines.size < LOG_WRITE_AT) {
        log_warning("%llu lines of the access log are lost: it takes no more",
                    (unsigned long long)log->lost);
        log->lost = 0;
    }
}

static void on_log_soon(void *owner)
{
    struct access_log *log = owner;

    log_flush(log);
    if (log->lines.size > 0)
        loop_timer_set(&log->soon, LOG_WAIT_MS);
}

static void write_access_log(void *owner, struct span line)
{
    struct worker *worker = owner;
    struct access_log *log = &worker->log;

    if (worker->follow >= 0) // what it does not take is lost to it
        (void)!send(worker->follow, line.at, line.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (log->fd < 0)
        return;
    if (!buffer_append(&log->lines, line)) {
        log->lost++;
        return;
    }
    if (!loop_timer_is_set(&log->soon))
        loop_timer_set(&log->soon, LOG_WAIT_MS);
    if (log->lines.size >= LOG_WRITE_AT)
        log_flush(log);
}

/* Takes the descriptor over. */
static void set_access_log(struct worker *worker, int fd)
{
    struct access_log *log = &worker->log;

    if (log->fd >= 0) {
        log_flush(log);
        close(log->fd);
        buffer_release(&log->lines);
    }
    log->fd = fd;
    log->is_file = fd >= 0 && is_regular(fd);
}

/* Takes the descriptor over; -1: nobody follows any more. */
static void set_follow(struct worker *worker, int fd)
{
    log_follow(fd);
    if (worker->follow >= 0)
        close(worker->follow);
    worker->follow = fd;
    proxy_set_followed(worker->proxy, fd >= 0);
}

/* ---- dejunk's own name ---- */

/* One end of a pair goes to the admin process, so only workers can reach it there. */
static int connect_local(void *owner)
{
    struct worker *worker = owner;
    struct message caller = message_of(MESSAGE_CALLER);
    int ends[2];
    struct error error;

    if (worker->local < 0)
        return -1;
    for (int tries = 0;
         socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0;)
        if (++tries > 2 || !loop_spare_descriptor(worker->loop)) // it takes two
            return -1;
    caller.fd = ends[1];
    if (message_send(worker->local, &caller, &error) != ERROR_NONE) {
        log_debug("no way to admin: %s", error.text);
        close(ends[0]);
        ends[0] = -1;
    }
    close(ends[1]);
    return ends[0];
}

/* ---- https ---- */

static bool ask_signer(void *owner, struct span packet)
{
    struct worker *worker = owner;

    return packets_send(&worker->signer, packet);
}

static void on_signer_lost(void *owner)
{
    struct worker *worker = owner;

    log_warning("the signer is gone; leaves that are kept go on");
    proxy_signer_lost(worker->proxy);
}

static void on_signature(void *owner, struct span packet)
{
    struct worker *worker = owner;
    struct error error;

    if (proxy_take_signature(worker->proxy, packet, &error) == ERROR_NONE)
        return;
    log_error("%s", error.text);
    packets_close(&worker->signer);
    proxy_signer_lost(worker->proxy);
}

static const struct packets_events signer_events = { on_signature, on_signer_lost };

/* Takes the descriptor over. Who waits for one that was replaced is told. */
static void set_signer(struct worker *worker, int fd)
{
    if (packets_is_open(&worker->signer)) {
        packets_close(&worker->signer);
        proxy_signer_lost(worker->proxy);
    }
    packets_open(&worker->signer, worker->loop, fd, SIGN_ANSWER_BYTES, false, &signer_events,
                 worker);
}

/* What admin does not take is only known here. */
static void tell_learned(void *owner, const struct learned_event *event)
{
    struct worker *worker = owner;
    struct message note = message_of(MESSAGE_NOTE);
    struct error error;

    _Static_assert((int)LEARNED_PACKET_BYTES <= (int)MESSAGE_NOTE_BYTES, "an event fits");
    note.note.size_bytes = learned_encode(note.note.packet, event);
    if (note.note.size_bytes == 0 || worker->local < 0)
        return;
    if (message_send(worker->local, &note, &error) != ERROR_NONE)
        log_debug("admin does not hear of a handshake: %s", error.text);
}

/* ---- listeners ---- */

static enum error_kind listen_on(struct worker *worker, const char *name, int *fd,
                                 struct error *error)
{
    struct worker_listener *next = &worker->listeners[worker->listener_count];
    enum error_kind kind;

    if (worker->listener_count == LISTENERS_MOST)
        return error_set(error, ERROR_LIMIT, "more than %d listeners", LISTENERS_MOST);
    kind = proxy_listen(worker->proxy, *fd, error);
    if (kind != ERROR_NONE)
        return kind;
    snprintf(next->name, sizeof next->name, "%s", name);
    next->fd = *fd;
    *fd = -1;
    worker->listener_count++;
    return ERROR_NONE;
}

static void unlisten_at(struct worker *worker, size_t i)
{
    proxy_unlisten(worker->proxy, worker->listeners[i].fd);
    close(worker->listeners[i].fd);
    worker->listeners[i] = worker->listeners[--worker->listener_count];
}

static void unlisten(struct worker *worker, const char *name)
{
    for (size_t i = 0; i < worker->listener_count; i++)
        if (strcmp(worker->listeners[i].name, name) == 0) {
            unlisten_at(worker, i);
            return;
        }
}

static void listen_message(struct worker *worker, struct message *message)
{
    struct error error;

    if (worker->is_draining)
        return;
    if (listen_on(worker, message->listener.name, &message->fd, &error) != ERROR_NONE)
        log_error("%s", error.text);
}

/* ---- config and names ---- */

static enum error_kind on_config(void *owner, struct config *config, struct error *error)
{
    struct worker *worker = owner;
    enum error_kind kind = proxy_configure(worker->proxy, config, error);

    if (kind != ERROR_NONE)
        return kind;
    config_unref(&worker->config);
    config_ref(config);
    worker->config = config;
    log_set_level(worker_log_level(config, worker->verbosity));
    return ERROR_NONE;
}

static void take_names(struct worker *worker, const struct message *message)
{
    uint64_t resolv_conf = message->names.resolv_conf_bytes, hosts = message->names.hosts_bytes;
    struct span both;
    struct error error;

    if (resolv_conf > NAMES_RESOLV_CONF_BYTES || hosts > NAMES_HOSTS_BYTES) {
        log_error("texts of resolv.conf and hosts beyond their limits");
        return;
    }
    if (parcel_open(&both, message->fd, resolv_conf + hosts,
                    NAMES_RESOLV_CONF_BYTES + NAMES_HOSTS_BYTES, &error) != ERROR_NONE) {
        log_error("%s", error.text);
        return;
    }
    proxy_configure_names(worker->proxy, span_slice(both, 0, (size_t)resolv_conf),
                          span_from(both, (size_t)resolv_conf));
    parcel_close(&both);
}

/* The old ones stay on any error. */
static void take_passes(struct worker *worker, int fd, uint64_t size_bytes)
{
    struct passbook *book = passbook_new();
    struct proxy_passes passes;
    struct span text;
    struct error error;
    enum error_kind kind = parcel_open(&text, fd, size_bytes, PASSBOOK_TEXT_BYTES, &error);

    if (kind == ERROR_NONE) {
        kind = passbook_read(book, text, &error);
        parcel_close(&text);
    }
    if (kind == ERROR_NONE) {
        passes = passbook_view(book);
        proxy_set_passes(worker->proxy, &passes);
    } else {
        log_error("the old passes stay: %s", error.text);
    }
    passbook_free(&book);
}

/* Maps the database, which then outlives its descriptor. The old one stays on any error. */
static void use_rules(struct worker *worker, int fd)
{
    struct database *database;
    struct error error;

    if (database_map(&database, fd, &error) != ERROR_NONE) {
        log_error("the old rules stay: %s", error.text);
        return;
    }
    log_debug("%zu rules of %zu lists", database_rules(database), database_lists(database));
    proxy_use_rules(worker->proxy, database);
    database_unref(&database);
}

/* ---- the end ---- */

static void on_drained(void *owner)
{
    struct worker *worker = owner;
    struct message drained = message_of(MESSAGE_DRAINED);

    message_send(worker->channel, &drained, NULL); // our end says it, too
    loop_stop(worker->loop);
}

static void drain(struct worker *worker, int64_t within_ms)
{
    while (worker->listener_count > 0)
        unlisten_at(worker, worker->listener_count - 1);
    worker->is_draining = true;
    proxy_drain(worker->proxy, within_ms < 0 ? PROXY_DRAIN_FOREVER : within_ms, on_drained, worker);
}

/* ---- messages ---- */

static bool on_message(void *owner, struct message *message)
{
    struct worker *worker = owner;
    struct message taken = message_of(MESSAGE_TAKEN);
    const struct parcel parcel = { message->fd, message->parcel.size_bytes };

    switch (message->type) {
    case MESSAGE_NAMES:
        take_names(worker, message);
        break;
    case MESSAGE_RULES:
        use_rules(worker, message->fd);
        message_send(worker->channel, &taken, NULL);
        break;
    case MESSAGE_PASSES:
        take_passes(worker, message->fd, message->parcel.size_bytes);
        message_send(worker->channel, &taken, NULL);
        break;
    case MESSAGE_LEARNED:
        supply_use_learned(worker->proxy, &parcel);
        message_send(worker->channel, &taken, NULL);
        break;
    case MESSAGE_TRUST:
        supply_use_trust(worker->proxy, &parcel);
        break;
    case MESSAGE_AUTHORITY:
        supply_use_authority(worker->proxy, &parcel);
        break;
    case MESSAGE_TICKETS:
        supply_use_tickets(worker->proxy, &message->tickets);
        break;
    case MESSAGE_SIGNER:
        set_signer(worker, message->fd);
        message->fd = -1;
        break;
    case MESSAGE_FOLLOW:
        set_follow(worker, message->fd);
        message->fd = -1;
        break;
    case MESSAGE_NO_FOLLOW:
        set_follow(worker, -1);
        break;
    case MESSAGE_LISTEN:
        listen_message(worker, message);
        break;
    case MESSAGE_UNLISTEN:
        unlisten(worker, message->listener.name);
        break;
    case MESSAGE_ACCESS_LOG:
        set_access_log(worker, message->fd);
        message->fd = -1;
        break;
    case MESSAGE_NO_ACCESS_LOG:
        set_access_log(worker, -1);
        break;
    case MESSAGE_LOCAL:
        if (worker->local >= 0)
            close(worker->local);
        worker->local = message->fd;
        message->fd = -1;
        break;
    case MESSAGE_DRAIN:
        drain(worker, message->drain.within_ms);
        break;
    default:
        return false;
    }
    return true;
}

static const struct orders_events orders_events = { on_config, on_message };

/* ---- beginning and end ---- */

/* What is ours stays open, all else of the master's is closed: its loop, its other children. */
static void close_the_rest(const struct worker_setup *setup)
{
    const int parcels[] = { setup->authority.fd, setup->trust.fd, setup->learned.fd };
    int kept[LISTENERS_MOST + 9];
    size_t count = 0;

    kept[count++] = setup->channel;
    if (setup->access_log >= 0)
        kept[count++] = setup->access_log;
    if (setup->local >= 0)
        kept[count++] = setup->local;
    if (setup->rules >= 0)
        kept[count++] = setup->rules;
    if (setup->passes >= 0)
        kept[count++] = setup->passes;
    if (setup->follow >= 0)
        kept[count++] = setup->follow;
    for (size_t i = 0; i < sizeof parcels / sizeof *parcels; i++)
        if (parcels[i] >= 0)
            kept[count++] = parcels[i];
    for (size_t i = 0; i < setup->listeners->count; i++) {
        int fd = listener_fd(setup->listeners->items[i], setup->place);
        if (fd >= 0)
            kept[count++] = fd;
    }
    child_keep_only(kept, count);
}

/* Without TZ, glibc looks at /etc/localtime again and again; with it, once. */
static void learn_local_time(void)
{
    setenv("TZ", ":/etc/localtime", 0);
    tzset();
}

static void use_supplies(struct worker *worker, const struct worker_setup *setup)
{
    const struct parcel *const parcels[] = { &setup->trust, &setup->authority, &setup->learned };

    supply_use_trust(worker->proxy, &setup->trust);
    supply_use_authority(worker->proxy, &setup->authority);
    supply_use_learned(worker->proxy, &setup->learned);
    supply_use_tickets(worker->proxy, setup->tickets);
    for (size_t i = 0; i < sizeof parcels / sizeof *parcels; i++)
        if (parcels[i]->fd >= 0)
            close(parcels[i]->fd);
}

static enum error_kind begin(struct worker *worker, const struct worker_setup *setup,
                             struct error *error)
{
    struct proxy_setup with = {
        .config = setup->config,
        .metrics = setup->metrics,
        .resolv_conf = setup->resolv_conf,
        .hosts = setup->hosts,
        .via_pseudonym = setup->via_pseudonym,
        .stubs = setup->stubs,
        .visit_secret = setup->visit_secret,
        .site_secret = setup->site_secret,
        .seams = { .connect_local = connect_local,
                   .write_access_log = write_access_log,
                   .ask_signer = ask_signer,
                   .tell_learned = tell_learned,
                   .owner = worker },
    };
    enum error_kind kind = loop_new(&worker->loop, error);

    if (kind != ERROR_NONE)
        return kind;
    loop_timer_init(&worker->log.soon, worker->loop, on_log_soon, &worker->log);
    with.loop = worker->loop;
    kind = proxy_new(&worker->proxy, &with, error);
    if (kind == ERROR_NONE)
        use_supplies(worker, setup);
    for (size_t i = 0; i < setup->listeners->count && kind == ERROR_NONE; i++) {
        const struct listener *listener = setup->listeners->items[i];
        int fd = listener_fd(listener, setup->place);

        if (fd >= 0)
            kind = listen_on(worker, listener->name, &fd, error);
    }
    if (kind == ERROR_NONE && setup->rules >= 0) {
        use_rules(worker, setup->rules);
        close(setup->rules);
    }
    if (kind == ERROR_NONE && setup->passes >= 0) {
        take_passes(worker, setup->passes, setup->passes_bytes);
        close(setup->passes);
    }
    if (kind == ERROR_NONE && setup->follow >= 0)
        set_follow(worker, setup->follow);
    if (kind == ERROR_NONE && jail_is_wanted())
        kind = jail_enter(JAIL_WORKER, error);
    return kind;
}

static void end(struct worker *worker)
{
    if (worker->log.fd >= 0) {
        loop_timer_stop(&worker->log.soon);
        set_access_log(worker, -1);
    }
    buffer_release(&worker->log.lines);
    if (packets_is_open(&worker->signer)) {
        packets_close(&worker->signer);
        proxy_signer_lost(worker->proxy);
    }
    proxy_free(&worker->proxy);
    loop_free(&worker->loop);
    config_unref(&worker->config);
}

int worker_run(const struct worker_setup *setup)
{
    struct worker worker = {
        .config = setup->config,
        .channel = setup->channel,
        .verbosity = setup->verbosity,
        .log = { .fd = setup->access_log, .lines = { .limit_bytes = LOG_BYTES } },
        .local = setup->local,
        .signer = { .fd = -1 },
        .follow = -1,
    };
    struct error error;
    enum error_kind kind;
    int exit_code;

    log_start(setup->name, worker_log_level(setup->config, setup->verbosity));
    close_the_rest(setup);
    learn_local_time();
    config_ref(worker.config);
    worker.log.is_file = worker.log.fd >= 0 && is_regular(worker.log.fd);
    kind = begin(&worker, setup, &error);
    if (kind != ERROR_NONE) {
        log_error("%s", error.text);
        return kind == ERROR_CONFIG || kind == ERROR_ADDRESS ? EX_CONFIG : EX_OSERR;
    }
    exit_code = orders_serve(&worker.orders, worker.loop, worker.channel, &orders_events, &worker);
    end(&worker);
    return exit_code;
}
