/*
 * name_server.h - a name server for tests, on the loop of the test, on a free port of 127.0.0.1.
 *
 * It answers from rows. An answer is words, done in order:
 *     4:ADDRESS/TTL  6:ADDRESS/TTL   a record of the name, or of the last alias
 *     c:NAME/TTL                     the name is an alias; what follows belongs to NAME
 *     m:COUNT/TTL                    so many records of the kind asked for
 *     nx servfail refused nodata     the answer's code
 *     silent                         no answer
 *     late                           the answer comes after 400 ms
 *     tc                             over UDP only that it is cut; the rest over TCP
 *     badid badname badfrom garbage  a wrong packet is sent before the answer
 *     short                          the last record is cut off in its middle
 *     only-garbage                   the right head, and then nonsense
 */
#ifndef TESTS_UNIT_NAME_SERVER_H
#define TESTS_UNIT_NAME_SERVER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/address.h"
#include "io/loop.h"

struct zone_row {
    const char *name;
    char type; // '4', '6', or '*' for both
    const char *answer;
};

struct packet {
    unsigned char bytes[65536];
    size_t size;
    size_t count; // of records
    unsigned code;
    bool is_cut, is_late;
};

struct name_server {
    struct loop *loop;
    int udp, tcp, connection;
    ev_io udp_watch, tcp_watch, connection_watch;
    uint16_t port;
    const struct zone_row *zone;
    size_t zone_size;
    unsigned asked, asked_by_tcp;
    uint16_t numbers[16]; // of the first questions
    char log[2000];       // "4 name, 6 name, ..."
    struct late {
        struct loop_timer timer;
        struct name_server *server;
        struct packet packet;
        struct address to;
    } late[4];
    unsigned late_count;
};

static void put(struct packet *packet, const void *bytes, size_t size)
{
    if (size > 0 && packet->size + size <= sizeof packet->bytes) {
        memcpy(packet->bytes + packet->size, bytes, size);
        packet->size += size;
    }
}

static void put_number(struct packet *packet, unsigned long value, unsigned bytes)
{
    while (bytes-- > 0) {
        unsigned char byte = 0; // leading zeros
        if (bytes < sizeof value)
            byte = (unsigned char)(value >> (8 * bytes));
        put(packet, &byte, 1);
    }
}

static void put_name(struct packet *packet, const char *name)
{
    while (*name) {
        size_t size = strcspn(name, ".");
        put_number(packet, size, 1);
        put(packet, name, size);
        name += size + (name[size] == '.');
    }
    put_number(packet, 0, 1);
}

static void put_record(struct packet *packet, const char *owner, unsigned type, unsigned long ttl,
                       const void *data, size_t size)
{
    if (owner)
        put_name(packet, owner);
    else
        put_number(packet, 0xc00c, 2); // the name in the question
    put_number(packet, type, 2);
    put_number(packet, 1, 2);
    put_number(packet, ttl, 4);
    put_number(packet, size, 2);
    put(packet, data, size);
    packet->count++;
}

static void put_address(struct packet *packet, const char *owner, const char *text,
                        unsigned long ttl)
{
    unsigned char bytes[16];
    bool is_v6 = strchr(text, ':') != NULL;

    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, text, bytes) != 1)
        abort();
    put_record(packet, owner, is_v6 ? 28 : 1, ttl, bytes, is_v6 ? 16 : 4);
}

/* Does one word of an answer. */
static void obey(struct packet *packet, const char *word, char *owner, bool asked_v6)
{
    char value[300] = "";
    unsigned long ttl = 60;

    if (word[0] && word[1] == ':') {
        const char *slash = strchr(word, '/');
        size_t size = slash ? (size_t)(slash - word - 2) : strlen(word) - 2;
        memcpy(value, word + 2, size);
        value[size] = '\0';
        if (slash)
            ttl = strtoul(slash + 1, NULL, 10);
    }
    if (word[0] == '4' || word[0] == '6') {
        put_address(packet, owner[0] ? owner : NULL, value, ttl);
    } else if (strncmp(word, "c:", 2) == 0) {
        struct packet target = { .size = 0 };
        put_name(&target, value);
        put_record(packet, owner[0] ? owner : NULL, 5, ttl, target.bytes, target.size);
        snprintf(owner, 300, "%s", value);
    } else if (strncmp(word, "m:", 2) == 0) {
        for (unsigned long i = 0; i < strtoul(value, NULL, 10); i++) {
            char text[64];
            snprintf(text, sizeof text, asked_v6 ? "2001:db8::%lx" : "10.0.0.%lu", i + 1);
            put_address(packet, owner[0] ? owner : NULL, text, ttl);
        }
    } else if (strcmp(word, "nx") == 0) {
        packet->code = 3;
    } else if (strcmp(word, "servfail") == 0) {
        packet->code = 2;
    } else if (strcmp(word, "refused") == 0) {
        packet->code = 5;
    } else if (strcmp(word, "short") == 0) {
        packet->size -= 2;
    } else if (strcmp(word, "tc") == 0) {
        packet->is_cut = true;
    } else if (strcmp(word, "late") == 0) {
        packet->is_late = true;
    }
}

static const struct zone_row *find_row(const struct name_server *server, const char *name,
                                       char type)
{
    for (size_t i = 0; i < server->zone_size; i++)
        if (strcmp(server->zone[i].name, name) == 0 &&
            (server->zone[i].type == type || server->zone[i].type == '*'))
            return &server->zone[i];
    return NULL;
}

static bool has_word(const char *answer, const char *word)
{
    const char *found = strstr(answer, word);
    size_t size = strlen(word);

    return found && (found == answer || found[-1] == ' ') &&
           (found[size] == '\0' || found[size] == ' ');
}

static void put_head(struct packet *packet, const unsigned char *query, size_t question_end)
{
    put(packet, query, 2);
    put_number(packet, 0x8180, 2);
    put_number(packet, 1, 2);
    put_number(packet, 0, 6);
    put(packet, query + 12, question_end - 12);
}

static void mend_head(struct packet *packet, bool is_cut)
{
    packet->bytes[2] = (unsigned char)(0x81 | (is_cut ? 0x02 : 0));
    packet->bytes[3] = (unsigned char)(0x80 | packet->code);
    packet->bytes[6] = (unsigned char)(packet->count >> 8);
    packet->bytes[7] = (unsigned char)packet->count;
}

/* The answer to one question, or false for silence. */
static bool answer(struct name_server *server, const unsigned char *query, size_t size,
                   struct packet *packet, bool by_tcp, const char **row_answer)
{
    char name[300] = "", type, owner[300] = "", words[400];
    size_t at = 12;
    const struct zone_row *row;

    while (at < size && query[at] > 0) {
        strncat(name, (const char *)query + at + 1, query[at]);
        strncat(name, ".", 2);
        at += query[at] + 1u;
    }
    if (name[0])
        name[strlen(name) - 1] = '\0';
    at += 5;
    type = query[at - 3] == 28 ? '6' : '4';
    if (server->asked < 16)
        server->numbers[server->asked] = (uint16_t)(query[0] << 8 | query[1]);
    server->asked++;
    server->asked_by_tcp += by_tcp;
    if (strlen(server->log) + strlen(name) + 5 < sizeof server->log) {
        size_t used = strlen(server->log);
        snprintf(server->log + used, sizeof server->log - used, "%s%c %s", used ? ", " : "", type,
                 name);
    }
    row = find_row(server, name, type);
    *row_answer = row ? row->answer : find_row(server, name, type == '4' ? '6' : '4') ? "" : "nx";
    if (has_word(*row_answer, "silent"))
        return false;
    *packet = (struct packet){ .size = 0 };
    put_head(packet, query, at);
    snprintf(words, sizeof words, "%s", *row_answer);
    for (char *rest = words, *word; (word = strsep(&rest, " ")) != NULL;)
        obey(packet, word, owner, type == '6');
    if (has_word(*row_answer, "only-garbage")) {
        packet->count = 5;
        put(packet, "\xc0\xff\x01", 3);
    }
    if (packet->is_cut && !by_tcp) {
        packet->size = at;
        packet->count = 0;
    }
    mend_head(packet, packet->is_cut && !by_tcp);
    return true;
}

static void send_late(void *owner)
{
    struct late *late = owner;

    sendto(late->server->udp, late->packet.bytes, late->packet.size, 0, &late->to.any,
           address_size(&late->to));
}

static void on_question(struct ev_loop *ev, ev_io *watch, int events)
{
    struct name_server *server = watch->data;
    static struct packet packet;
    unsigned char query[600];
    struct address from;
    socklen_t from_size = sizeof from;
    ssize_t size;
    const char *words;

    (void)ev, (void)events;
    while (size = recvfrom(server->udp, query, sizeof query, 0, &from.any, &from_size), size > 16) {
        if (!answer(server, query, (size_t)size, &packet, false, &words))
            continue;
        if (has_word(words, "garbage"))
            sendto(server->udp, "garbage", 7, 0, &from.any, from_size);
        if (has_word(words, "badid")) {
            struct packet wrong = packet;
            wrong.bytes[0] ^= 0x55;
            wrong.bytes[wrong.size - 1] ^= 0xff;
            sendto(server->udp, wrong.bytes, wrong.size, 0, &from.any, from_size);
        }
        if (has_word(words, "badname")) {
            struct packet wrong = packet;
            wrong.bytes[13] = (unsigned char)(wrong.bytes[13] == 'x' ? 'y' : 'x');
            wrong.bytes[wrong.size - 1] ^= 0xff;
            sendto(server->udp, wrong.bytes, wrong.size, 0, &from.any, from_size);
        }
        if (has_word(words, "badfrom")) { // another port of this machine
            int other = socket(AF_INET, SOCK_DGRAM, 0);
            struct packet wrong = packet;
            wrong.bytes[wrong.size - 1] ^= 0xff;
            sendto(other, wrong.bytes, wrong.size, 0, &from.any, from_size);
            close(other);
        }
        if (packet.is_late && server->late_count < 4) {
            struct late *late = &server->late[server->late_count++];
            late->packet = packet;
            late->to = from;
            late->server = server;
            loop_timer_init(&late->timer, server->loop, send_late, late);
            loop_timer_set(&late->timer, 400);
        } else {
            sendto(server->udp, packet.bytes, packet.size, 0, &from.any, from_size);
        }
    }
}

static void on_tcp_question(struct ev_loop *ev, ev_io *watch, int events)
{
    struct name_server *server = watch->data;
    static struct packet packet;
    unsigned char query[600], head[2];
    ssize_t size = recv(server->connection, query, sizeof query, 0);
    const char *words;

    (void)events;
    if (size > 18 && answer(server, query + 2, (size_t)size - 2, &packet, true, &words)) {
        head[0] = (unsigned char)(packet.size >> 8);
        head[1] = (unsigned char)packet.size;
        send(server->connection, head, 2, MSG_NOSIGNAL);
        send(server->connection, packet.bytes, packet.size, MSG_NOSIGNAL);
        return;
    }
    ev_ref(ev);
    ev_io_stop(ev, watch);
    close(server->connection);
    server->connection = -1;
}

static void on_connection(struct ev_loop *ev, ev_io *watch, int events)
{
    struct name_server *server = watch->data;
    int fd = accept(server->tcp, NULL, NULL);

    (void)events;
    if (fd < 0)
        return;
    if (server->connection >= 0) {
        ev_ref(ev);
        ev_io_stop(ev, &server->connection_watch);
        close(server->connection);
    }
    server->connection = fd;
    ev_io_init(&server->connection_watch, on_tcp_question, fd, EV_READ);
    server->connection_watch.data = server;
    ev_io_start(ev, &server->connection_watch);
    ev_unref(ev);
}

/* The loop does not stay for it. */
__attribute__((unused)) static void name_server_start(struct name_server *server, struct loop *loop,
                                                      const struct zone_row *zone, size_t zone_size)
{
    struct address at;
    socklen_t size = sizeof at;

    *server = (struct name_server){ .loop = loop, .zone = zone, .zone_size = zone_size };
    server->connection = -1;
    for (;;) { // until a port is free for both
        address_parse(&at, SPAN("127.0.0.1"), 0);
        server->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        server->tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (bind(server->udp, &at.any, address_size(&at)) < 0 ||
            getsockname(server->udp, &at.any, &size) < 0)
            abort();
        if (bind(server->tcp, &at.any, address_size(&at)) == 0)
            break;
        close(server->udp);
        close(server->tcp);
    }
    listen(server->tcp, 8);
    server->port = address_port(&at);
    ev_io_init(&server->udp_watch, on_question, server->udp, EV_READ);
    server->udp_watch.data = server;
    ev_io_start(loop->ev, &server->udp_watch);
    ev_unref(loop->ev);
    ev_io_init(&server->tcp_watch, on_connection, server->tcp, EV_READ);
    server->tcp_watch.data = server;
    ev_io_start(loop->ev, &server->tcp_watch);
    ev_unref(loop->ev);
}

__attribute__((unused)) static void name_server_stop(struct name_server *server)
{
    struct ev_loop *ev = server->loop->ev;

    for (unsigned i = 0; i < server->late_count; i++)
        loop_timer_stop(&server->late[i].timer);
    ev_ref(ev);
    ev_io_stop(ev, &server->udp_watch);
    ev_ref(ev);
    ev_io_stop(ev, &server->tcp_watch);
    close(server->udp);
    close(server->tcp);
    if (server->connection >= 0) {
        ev_ref(ev);
        ev_io_stop(ev, &server->connection_watch);
        close(server->connection);
    }
}

#endif
