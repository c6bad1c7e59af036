#include "io/dns.h"

#include <ares.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 12,
    EDNS_BYTES = 1232, // of a UDP answer: what fits everywhere unfragmented
    TYPE_A = 1,
    TYPE_CNAME = 5,
    TYPE_AAAA = 28,
    CLASS_IN = 1,
    RCODE_OK = 0,
    RCODE_NO_NAME = 3,
    NAME_JUMPS = 32,         // compression pointers followed in one name
    TTL_MOST_S = 0x7fffffff, // above it counts as 0, RFC 2181 section 8
};

/* reading answers */

struct reader {
    struct span packet;
    size_t at;
    bool is_broken; // read past the end, or nonsense; all reads give 0 from then on
};

static unsigned read_bytes(struct reader *reader, unsigned count)
{
    unsigned value = 0;

    if (reader->is_broken || reader->packet.size - reader->at < count) {
        reader->is_broken = true;
        return 0;
    }
    while (count-- > 0)
        value = value << 8 | (uint8_t)reader->packet.at[reader->at++];
    return value;
}

/* Where a pointer of RFC 1035 section 4.1.4 leads: backwards only, and not too often. */
static bool jump(struct reader *label, unsigned high, size_t *lowest, unsigned *jumps)
{
    size_t target = (high & 0x3f) << 8 | read_bytes(label, 1);

    if (label->is_broken || target >= *lowest || ++*jumps > NAME_JUMPS)
        return false;
    label->at = *lowest = target;
    return true;
}

/* A name into `to`, folded, and the reader behind it. A name that no host could have (too long, or
 * with bytes that are none of a host name's) comes out empty. */
static void read_name(struct reader *reader, char *to)
{
    struct reader label = *reader;
    size_t used = 0, lowest = reader->at, end = 0;
    unsigned jumps = 0;
    bool is_odd = false;

    while (!(is_odd && end > 0)) {
        unsigned size = read_bytes(&label, 1);

        if (size >= 0xc0) {
            if (end == 0)
                end = label.at + 1;
            if (is_odd) // only its end was still looked for
                break;
            if (!jump(&label, size, &lowest, &jumps))
                label.is_broken = true;
        } else if (size > RESOLVE_LABEL_BYTES || label.packet.size - label.at < size) {
            label.is_broken = true;
        } else if (size > 0) {
            if (used + size + 1 > RESOLVE_NAME_BYTES + 1 ||
                memchr(label.packet.at + label.at, '.', size))
                is_odd = true;
            if (!is_odd) {
                memcpy(to + used, label.packet.at + label.at, size);
                used += size;
                to[used++] = '.';
            }
            label.at += size;
        }
        if (label.is_broken || size == 0)
            break;
    }
    if (end == 0)
        end = label.at;
    reader->is_broken |= label.is_broken || end > reader->packet.size;
    if (!reader->is_broken)
        reader->at = end;
    if (reader->is_broken || is_odd || resolve_fold_name(to, span_of(to, used)) == 0)
        to[0] = '\0';
}

struct record {
    char owner[RESOLVE_NAME_BYTES + 1];
    unsigned type, class_of, ttl_s, size;
    size_t data_at;
};

static void read_record(struct reader *reader, struct record *record)
{
    read_name(reader, record->owner);
    record->type = read_bytes(reader, 2);
    record->class_of = read_bytes(reader, 2);
    record->ttl_s = read_bytes(reader, 4);
    record->size = read_bytes(reader, 2);
    record->data_at = reader->at;
    if (record->ttl_s > TTL_MOST_S)
        record->ttl_s = 0;
    if (!reader->is_broken && reader->packet.size - reader->at >= record->size)
        reader->at += record->size;
    else
        reader->is_broken = true;
}

static void lower_ttl(struct dns_reply *reply, const struct record *record)
{
    if (record->ttl_s < reply->ttl_s)
        reply->ttl_s = record->ttl_s;
}

static void keep_address(struct dns_reply *reply, const struct record *record, const char *data)
{
    struct address *address = &reply->addresses[reply->count];

    if (reply->count == DNS_ADDRESSES)
        return;
    memset(address, 0, sizeof *address);
    if (record->type == TYPE_AAAA) {
        address->v6.sin6_family = AF_INET6;
        memcpy(&address->v6.sin6_addr, data, 16);
    } else {
        address->v4.sin_family = AF_INET;
        memcpy(&address->v4.sin_addr, data, 4);
    }
    reply->count++;
    lower_ttl(reply, record);
}

/* One walk over the answers, for the name in `wanted`. True: it is an alias, which now stands in
 * `wanted`, and another walk must follow. */
static bool walk(struct dns_reply *reply, struct reader reader, unsigned records, unsigned type,
                 char *wanted)
{
    struct record record;

    reply->outcome = DNS_NO_DATA;
    for (unsigned i = 0; i < records; i++) {
        read_record(&reader, &record);
        if (reader.is_broken) {
            reply->outcome = DNS_FAILED; // but addresses that came before stand
            return false;
        }
        if (record.class_of != CLASS_IN || strcmp(record.owner, wanted) != 0)
            continue;
        if (record.type == type && record.size == (type == TYPE_AAAA ? 16 : 4)) {
            keep_address(reply, &record, reader.packet.at + record.data_at);
        } else if (record.type == TYPE_CNAME && reply->count == 0) {
            struct reader data = { .packet = reader.packet, .at = record.data_at };
            read_name(&data, wanted);
            lower_ttl(reply, &record);
            return wanted[0] != '\0' && !data.is_broken;
        }
    }
    return false;
}

void dns_parse(struct dns_reply *reply, struct span packet, const char *name, bool want_v6)
{
    struct reader reader = { .packet = packet, .at = 0 };
    unsigned type = want_v6 ? TYPE_AAAA : TYPE_A, flags, questions, records;
    char wanted[RESOLVE_NAME_BYTES + 1];

    reply->outcome = DNS_FAILED;
    reply->ttl_s = TTL_MOST_S;
    reply->count = reply->alias_count = 0;

    read_bytes(&reader, 2); // the number, which c-ares has compared
    flags = read_bytes(&reader, 2);
    questions = read_bytes(&reader, 2);
    records = read_bytes(&reader, 2);
    read_bytes(&reader, 4);
    if (reader.is_broken || !(flags & 0x8000) || questions != 1)
        return;
    read_name(&reader, wanted);
    if (read_bytes(&reader, 2) != type || read_bytes(&reader, 2) != CLASS_IN || reader.is_broken ||
        strcmp(wanted, name) != 0)
        return;
    if ((flags & 0xf) == RCODE_NO_NAME)
        reply->outcome = DNS_NO_NAME;
    if ((flags & 0xf) != RCODE_OK)
        return;

    if (records > DNS_RECORDS)
        records = DNS_RECORDS;
    while (walk(reply, reader, records, type, wanted)) {
        if (reply->alias_count == DNS_ALIASES) { // a chain that long, or a ring, leads nowhere
            reply->outcome = DNS_FAILED;
            return;
        }
        memcpy(reply->aliases[reply->alias_count++], wanted, sizeof wanted);
    }
    if (reply->count > 0)
        reply->outcome = DNS_FOUND;
}

/* sockets: c-ares says what it waits for, the loop waits */

struct watched {
    struct watched *next;
    struct dns *dns;
    ev_io watch;
};

struct dns_asked { // one c-ares query; freed in its callback
    struct dns *dns;
    struct dns_question *question; // NULL: forgotten
    char name[RESOLVE_NAME_BYTES + 1];
    bool want_v6;
};

struct dns {
    ares_channel channel;
    struct loop *loop;
    struct loop_timer timer;
    struct watched *watched;
    struct resolve_conf conf;
    unsigned timeout_ms;
    size_t first;   // of the servers, to be asked first
    size_t pending; // questions
    bool is_slow;   // that server let a question run out of time, and another one answered
};

/* The earliest time limit c-ares knows of. New questions have later ones than that, so the timer
 * is looked at again only when it expires. */
static void set_timer(struct dns *dns)
{
    struct timeval room, *wait = ares_timeout(dns->channel, NULL, &room);

    if (wait)
        loop_timer_set(&dns->timer,
                       (uint64_t)wait->tv_sec * 1000 + (uint64_t)wait->tv_usec / 1000 + 1);
}

static void on_timer(void *owner)
{
    struct dns *dns = owner;

    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(dns);
}

static void on_socket_ready(struct ev_loop *ev, ev_io *watch, int events)
{
    struct watched *watched = watch->data;
    struct dns *dns = watched->dns; // `watched` may be gone in a moment
    int fd = watch->fd;

    (void)ev;
    ares_process_fd(dns->channel, events & EV_READ ? fd : ARES_SOCKET_BAD,
                    events & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static void on_socket_wish(void *owner, ares_socket_t fd, int readable, int writable)
{
    struct dns *dns = owner;
    struct watched **link = &dns->watched, *watched;
    int events = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);

    while (*link && (*link)->watch.fd != fd)
        link = &(*link)->next;
    watched = *link;
    if (!watched) {
        if (events == 0)
            return;
        watched = calloc(1, sizeof *watched);
        if (!watched)
            abort();
        watched->dns = dns;
        watched->watch.data = watched;
        ev_io_init(&watched->watch, on_socket_ready, fd, events);
        watched->watch.data = watched;
        watched->next = dns->watched;
        dns->watched = watched;
    }
    ev_io_stop(dns->loop->ev, &watched->watch);
    if (events != 0) {
        ev_io_modify(&watched->watch, events);
        ev_io_start(dns->loop->ev, &watched->watch);
        return;
    }
    for (link = &dns->watched; *link != watched; link = &(*link)->next)
        ;
    *link = watched->next;
    free(watched);
}

static ares_socket_t open_socket(int family, int type, int protocol, void *owner)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    if (fd < 0 && loop_spare_descriptor(((struct dns *)owner)->loop))
        fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    return fd;
}

static int close_socket(ares_socket_t fd, void *owner)
{
    (void)owner;
    return close(fd);
}

/* c-ares forgets the scope of link-local addresses; the configuration has it. */
static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t size,
                          void *owner)
{
    const struct resolve_conf *conf = &((struct dns *)owner)->conf;
    struct address address = { 0 };

    if (size > sizeof address || to->sa_family != AF_INET6)
        return connect(fd, to, size);
    memcpy(&address, to, size);
    for (size_t i = 0; i < conf->server_count; i++) {
        struct address server = conf->servers[i];
        unsigned scope = server.v6.sin6_scope_id;

        if (server.any.sa_family != AF_INET6)
            continue;
        server.v6.sin6_scope_id = address.v6.sin6_scope_id;
        if (address_equal(&server, &address)) {
            address.v6.sin6_scope_id = scope;
            break;
        }
    }
    return connect(fd, &address.any, size);
}

static ares_ssize_t receive(ares_socket_t fd, void *at, size_t size, int flags,
                            struct sockaddr *from, ares_socklen_t *from_size, void *owner)
{
    (void)owner;
    return recvfrom(fd, at, size, flags, from, from_size);
}

static ares_ssize_t send_parts(ares_socket_t fd, const struct iovec *parts, int count, void *owner)
{
    struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);

    (void)owner;
    /* On a UDP socket that was the answer to an earlier datagram. This one has its own, which will
     * be found by reading and then counts for all questions; given to c-ares here, it would count
     * for one and the others would wait for nothing. */
    if (sent < 0 && errno == ECONNREFUSED)
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    return sent;
}

static const struct ares_socket_functions socket_functions = {
    open_socket, close_socket, connect_socket, receive, send_parts,
};

/* a channel */

/* With all of these given, c-ares looks neither into the environment nor into /etc. */
static int open_channel(struct dns *dns)
{
    char only_dns[] = "b";
    struct in_addr nobody = { 0 };
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = (int)dns->timeout_ms,
        .tries = (int)(dns->conf.attempts ? dns->conf.attempts : DNS_ATTEMPTS),
        .ndots = 1,
        .servers = &nobody,
        .nservers = 0,
        .domains = NULL,
        .ndomains = 0,
        .lookups = only_dns,
        .sock_state_cb = on_socket_wish,
        .sock_state_cb_data = dns,
        .sortlist = NULL,
        .nsort = 0,
        .ednspsz = EDNS_BYTES,
    };

    return ares_init_options(&dns->channel, &options,
                             ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
                                 ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS |
                                 ARES_OPT_SOCK_STATE_CB | ARES_OPT_SORTLIST | ARES_OPT_EDNSPSZ |
                                 (dns->conf.rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE));
}

static int set_servers(struct dns *dns)
{
    struct ares_addr_port_node nodes[RESOLVE_SERVERS] = { 0 };

    for (size_t i = 0; i < dns->conf.server_count; i++) {
        const struct address *server =
            &dns->conf.servers[(dns->first + i) % dns->conf.server_count];

        nodes[i].next = i + 1 < dns->conf.server_count ? &nodes[i + 1] : NULL;
        nodes[i].family = server->any.sa_family;
        nodes[i].udp_port = nodes[i].tcp_port = address_port(server);
        if (server->any.sa_family == AF_INET6)
            memcpy(&nodes[i].addr.addr6, &server->v6.sin6_addr, 16);
        else
            nodes[i].addr.addr4 = server->v4.sin_addr;
    }
    return ares_set_servers_ports(dns->channel, nodes);
}

enum error_kind dns_new(struct dns **out, struct loop *loop, const struct resolve_conf *conf,
                        struct error *error)
{
    struct dns *dns = calloc(1, sizeof *dns);
    int status;

    if (!dns)
        abort();
    dns->loop = loop;
    dns->conf = *conf;
    dns->timeout_ms = conf->timeout_s ? conf->timeout_s * 1000 : DNS_TIMEOUT_MS;
    if (dns->conf.server_count == 0) { // resolv.conf(5): the name server on this machine
        address_parse(&dns->conf.servers[0], SPAN("127.0.0.1"), 53);
        dns->conf.server_count = 1;
    }
    loop_timer_init(&dns->timer, loop, on_timer, dns);
    status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS) {
        status = open_channel(dns);
        if (status != ARES_SUCCESS)
            ares_library_cleanup();
    }
    if (status != ARES_SUCCESS) {
        free(dns);
        return error_set(error, ERROR_SYSTEM, "c-ares does not start: %s", ares_strerror(status));
    }
    ares_set_socket_functions(dns->channel, &socket_functions, dns);
    status = set_servers(dns);
    if (status != ARES_SUCCESS) {
        dns_free(&dns);
        return error_set(error, ERROR_SYSTEM, "c-ares takes no servers: %s", ares_strerror(status));
    }
    *out = dns;
    return ERROR_NONE;
}

void dns_free(struct dns **dns_pointer)
{
    struct dns *dns = *dns_pointer;

    *dns_pointer = NULL;
    if (!dns)
        return;
    ares_destroy(dns->channel);
    ares_library_cleanup();
    assert(!dns->watched);
    loop_timer_stop(&dns->timer);
    free(dns);
}

/* The servers keep their order as long as the first one answers in time: else each new name would
 * wait for it. c-ares takes a new order only while it has no question. */
static void avoid_slow_server(struct dns *dns)
{
    size_t before = dns->first;

    if (!dns->is_slow || dns->pending > 0)
        return;
    dns->first = (dns->first + 1) % dns->conf.server_count;
    if (set_servers(dns) == ARES_SUCCESS)
        dns->is_slow = false;
    else
        dns->first = before;
}

/* questions */

static void on_packet(void *owner, int status, int timeouts, unsigned char *packet, int size)
{
    struct dns_asked *asked = owner;
    struct dns_question *question = asked->question;
    struct dns_reply reply;

    asked->dns->pending--;
    if (timeouts > 0 && status == ARES_SUCCESS && asked->dns->conf.server_count > 1)
        asked->dns->is_slow = true;
    if (question && status != ARES_EDESTRUCTION) {
        reply.count = reply.alias_count = 0;
        if (status == ARES_SUCCESS)
            dns_parse(&reply, span_of((char *)packet, (size_t)size), asked->name, asked->want_v6);
        else
            reply.outcome = status == ARES_ETIMEOUT ? DNS_SILENT : DNS_FAILED;
        question->asked = NULL;
        free(asked);
        question->on_answered(question->owner, &reply);
        return;
    }
    if (question)
        question->asked = NULL;
    free(asked);
}

void dns_ask(struct dns *dns, struct dns_question *question, const char *name, bool want_v6)
{
    struct dns_asked *asked = calloc(1, sizeof *asked);
    unsigned char *packet = NULL;
    uint16_t number;
    int size, status;

    assert(!question->asked);
    if (!asked)
        abort();
    avoid_slow_server(dns);
    dns->pending++;
    asked->dns = dns;
    asked->question = question;
    asked->want_v6 = want_v6;
    memcpy(asked->name, name, strlen(name));
    question->asked = asked;

    random_bytes(&number, sizeof number);
    status = ares_create_query(name, CLASS_IN, want_v6 ? TYPE_AAAA : TYPE_A, number, 1, &packet,
                               &size, EDNS_BYTES);
    if (status != ARES_SUCCESS) {
        on_packet(asked, status, 0, NULL, 0);
        return;
    }
    if (!loop_timer_is_set(&dns->timer))
        loop_timer_set(&dns->timer, dns->timeout_ms);
    ares_send(dns->channel, packet, size, on_packet, asked);
    ares_free_string(packet);
}

void dns_forget(struct dns_question *question)
{
    if (question->asked) {
        question->asked->question = NULL;
        question->asked = NULL;
    }
}
