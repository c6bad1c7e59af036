#include "io/connect.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/resolve_files.h"

struct racer {
    ev_io watch; // fd -1: closed
    struct connect_race *race;
    struct address address;
};

struct connect_race {
    struct connector *connector;
    struct loop *loop;
    struct resolve_query query;
    struct resolve_answer *answer; // our reference; NULL for a literal
    struct address order[2 * RESOLVE_ADDRESSES];
    size_t order_count, next;
    struct racer racers[CONNECT_RACERS];
    size_t started, running;
    struct loop_timer limit, delay;
    struct loop_task tell; // for an end that is known inside connector_start()
    struct error error;    // the most telling so far
    uint64_t timeout_ms;
    uint16_t port;
    struct racer *winner;
    char host[RESOLVE_NAME_BYTES + 2];
};

/* endings */

static void close_racer(struct racer *racer)
{
    if (racer->watch.fd < 0)
        return;
    ev_io_stop(racer->race->loop->ev, &racer->watch);
    close(racer->watch.fd);
    racer->watch.fd = -1;
    racer->race->running--;
}

static void end_race(struct connect_race *race)
{
    race->connector->race = NULL;
    resolve_cancel(&race->query);
    resolve_answer_unref(race->answer);
    for (size_t i = 0; i < race->started; i++)
        close_racer(&race->racers[i]);
    loop_timer_stop(&race->limit);
    loop_timer_stop(&race->delay);
    loop_later_cancel(race->loop, &race->tell);
    free(race);
}

/* The last thing done: the owner may do as it likes with the connector. */
static void tell(void *owner)
{
    struct connect_race *race = owner;
    struct connector *connector = race->connector;
    struct address address;
    struct error error = race->error;
    int fd = -1;

    if (race->winner) {
        fd = race->winner->watch.fd;
        address = race->winner->address;
        ev_io_stop(race->loop->ev, &race->winner->watch);
        race->winner->watch.fd = -1;
    }
    end_race(race);
    connector->on_connected(connector->owner, fd, fd >= 0 ? &address : NULL,
                            fd >= 0 ? NULL : &error);
}

/* How much a failure says about the host, when its addresses fail in different ways. */
static unsigned weight(enum error_kind kind)
{
    switch (kind) {
    case ERROR_NONE:
        return 0;
    case ERROR_FORBIDDEN:
        return 1;
    case ERROR_ADDRESS:
        return 2;
    case ERROR_SYSTEM:
        return 3;
    case ERROR_TIMEOUT:
        return 4;
    case ERROR_REFUSED:
        return 5;
    default:
        return 1;
    }
}

static void note_failure(struct connect_race *race, const struct error *error)
{
    if (weight(error->kind) > weight(race->error.kind))
        race->error = *error;
}

static enum error_kind kind_of_errno(int code)
{
    switch (code) {
    case ECONNREFUSED:
    case ECONNRESET:
        return ERROR_REFUSED;
    case ETIMEDOUT:
        return ERROR_TIMEOUT;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENONET:
    case EADDRNOTAVAIL: // no address of ours goes there, or no port is left
    case EAFNOSUPPORT:
    case EACCES: // broadcast, or a firewall on this machine
    case EPERM:
    case EINVAL:
    case EPROTO:
        return ERROR_ADDRESS;
    default:
        return ERROR_SYSTEM;
    }
}

static void note_errno(struct connect_race *race, const struct address *address, int code)
{
    char text[ADDRESS_TEXT_BYTES];
    struct error error;

    errno = code;
    error_errno(&error, kind_of_errno(code), "cannot connect to %s at %s", race->host,
                address_text_with_port(address, text));
    note_failure(race, &error);
}

/* the race */

static void race_on(struct connect_race *race);

static void on_racer_ready(struct ev_loop *ev, ev_io *watch, int events)
{
    struct racer *racer = watch->data;
    struct connect_race *race = racer->race;
    int code = 0;
    socklen_t size = sizeof code;

    (void)ev, (void)events;
    if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
        code = errno;
    if (code == 0) {
        race->winner = racer;
        tell(race);
        return;
    }
    note_errno(race, &racer->address, code);
    close_racer(racer);
    race_on(race);
    if (loop_task_is_queued(&race->tell)) // the last one has failed
        tell(race);
}

/* False when it failed at once. */
static bool start_racer(struct connect_race *race, const struct address *address)
{
    static const int on = 1;
    struct racer *racer;
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(address->any.sa_family, type, 0);

    if (fd < 0 && loop_spare_descriptor(race->loop))
        fd = socket(address->any.sa_family, type, 0);
    if (fd < 0) {
        note_errno(race, address, errno);
        return false;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, &address->any, address_size(address)) < 0 && errno != EINPROGRESS &&
        errno != EINTR) {
        note_errno(race, address, errno);
        close(fd);
        return false;
    }
    racer = &race->racers[race->started++];
    racer->race = race;
    racer->address = *address;
    ev_io_init(&racer->watch, on_racer_ready, fd, EV_WRITE);
    racer->watch.data = racer;
    ev_io_start(race->loop->ev, &racer->watch);
    race->running++;
    return true;
}

/* Opens the next socket that can be opened. When none is left and none runs, the end is queued. */
static void race_on(struct connect_race *race)
{
    while (race->next < race->order_count && race->started < CONNECT_RACERS) {
        const struct address *address = &race->order[race->next++];
        struct error error = { .kind = ERROR_FORBIDDEN, .text = "the address is not allowed" };

        if (!race->connector->may_connect(race->connector->owner, address, race->answer, &error)) {
            error.kind = ERROR_FORBIDDEN;
            note_failure(race, &error); // keeps the first of equals
            continue;
        }
        if (!start_racer(race, address))
            continue;
        if (race->next < race->order_count)
            loop_timer_set(&race->delay, CONNECT_RACE_DELAY_MS);
        else
            loop_timer_stop(&race->delay);
        return;
    }
    loop_timer_stop(&race->delay);
    if (race->running == 0)
        loop_later(race->loop, &race->tell);
}

static void on_delay_over(void *owner)
{
    struct connect_race *race = owner;

    race_on(race);
}

static void on_limit_reached(void *owner)
{
    struct connect_race *race = owner;

    if (race->error.kind != ERROR_REFUSED)
        error_set(&race->error, ERROR_TIMEOUT, "no connection to %s port %u within %g s",
                  race->host, race->port, (double)race->timeout_ms / 1000);
    tell(race);
}

/* One of each family in turn, beginning with the one that stands first. */
static void set_order(struct connect_race *race, const struct resolve_answer *answer)
{
    size_t next[2] = { 0, 0 };
    const sa_family_t families[2] = {
        answer->addresses[0].any.sa_family,
        answer->addresses[0].any.sa_family == AF_INET6 ? AF_INET : AF_INET6,
    };
    const size_t room = sizeof race->order / sizeof *race->order;

    for (unsigned turn = 0, passed = 0; passed < 2 && race->order_count < room; turn ^= 1) {
        size_t *i = &next[turn];

        while (*i < answer->count && answer->addresses[*i].any.sa_family != families[turn])
            ++*i;
        if (*i == answer->count) {
            passed++;
            continue;
        }
        passed = 0;
        race->order[race->order_count] = answer->addresses[(*i)++];
        address_set_port(&race->order[race->order_count++], race->port);
    }
}

static void begin(struct connect_race *race, struct resolve_answer *answer)
{
    race->answer = answer;
    resolve_answer_ref(answer);
    set_order(race, answer);
    race_on(race);
}

static void on_resolved(void *owner, struct resolve_answer *answer, const struct error *error)
{
    struct connect_race *race = owner;

    if (answer) {
        begin(race, answer);
        return;
    }
    race->error = *error;
    tell(race);
}

void connector_start(struct connector *connector, struct loop *loop, struct resolver *resolver,
                     struct span host, uint16_t port, uint64_t timeout_ms)
{
    struct connect_race *race = calloc(1, sizeof *race);
    struct resolve_answer *answer;

    assert(!connector->race);
    if (!race)
        abort();
    race->connector = connector;
    race->loop = loop;
    race->port = port;
    race->timeout_ms = timeout_ms;
    race->query.on_resolved = on_resolved;
    race->query.owner = race;
    race->tell = (struct loop_task){ .run = tell, .owner = race };
    loop_timer_init(&race->limit, loop, on_limit_reached, race);
    loop_timer_init(&race->delay, loop, on_delay_over, race);
    loop_timer_set(&race->limit, timeout_ms);
    connector->race = race;

    if (address_parse(&race->order[0], host, port)) {
        address_text(&race->order[0], race->host);
        race->order_count = 1;
        race_on(race);
        return;
    }
    if (resolve_fold_name(race->host, host) == 0)
        memcpy(race->host, "that host", sizeof "that host"); // the resolver says what is wrong
    if (resolve_start(resolver, &race->query, host, &answer))
        begin(race, answer);
}

void connector_cancel(struct connector *connector)
{
    if (connector->race)
        end_race(connector->race);
}
