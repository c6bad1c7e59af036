#include "daemon/messages.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAGIC = 0x444a0001,       // "DJ", then the version of the protocol
    MOST_FDS = 4,             // taken off a packet, so that they can be closed
    ROOM_BYTES = 1024 * 1024, // for messages that their receiver has not come to yet
};

struct header {
    uint32_t magic;
    uint32_t type;
    uint32_t size_bytes;
};

static const struct {
    const char *name;
    size_t size_bytes;
    size_t fds;
} rows[MESSAGE_TYPES] = { [MESSAGE_NONE] = { "none", 0, 0 },
#define MESSAGE_ROW(id, member, size, fds, name) [MESSAGE_##id] = { name, size, fds },
                          MESSAGES(MESSAGE_ROW)
#undef MESSAGE_ROW
};

_Static_assert(sizeof(struct header) == 12, "MESSAGE_PACKET_BYTES counts on it");

struct message message_of(enum message_type type)
{
    struct message message;

    memset(&message, 0, sizeof message);
    message.type = type;
    message.fd = -1;
    return message;
}

const char *message_name(enum message_type type)
{
    return (unsigned)type < MESSAGE_TYPES ? rows[type].name : "unknown";
}

void message_set_text(char *field, size_t size, const char *text)
{
    size_t at = 0;

    for (; text[at] != '\0' && at + 1 < size; at++)
        field[at] = (unsigned char)text[at] < 0x20 || text[at] == 0x7f ? ' ' : text[at];
    memset(field + at, 0, size - at);
}

enum error_kind message_channel(int ends[2], struct error *error)
{
    const int room = ROOM_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return error_errno(error, ERROR_SYSTEM, "no socketpair");
    for (int i = 0; i < 2; i++) // as much as the system lets us; the default does, too
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return ERROR_NONE;
}

/* Every member of the union begins at its start, so one address serves all. */
static const void *fields_of(const struct message *message)
{
    return &message->none;
}

size_t message_encode(char *packet, const struct message *message)
{
    struct header header = { MAGIC, (uint32_t)message->type, 0 };

    assert(message->type > MESSAGE_NONE && message->type < MESSAGE_TYPES);
    header.size_bytes = (uint32_t)rows[message->type].size_bytes;
    memcpy(packet, &header, sizeof header);
    memcpy(packet + sizeof header, fields_of(message), header.size_bytes);
    return sizeof header + header.size_bytes;
}

/* Texts are read as C strings and shown in logs. */
static bool is_text(const char *text, size_t size)
{
    const char *end = memchr(text, '\0', size);

    if (!end)
        return false;
    for (const char *at = text; at < end; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    return true;
}

static bool fields_are_sound(const struct message *message)
{
    switch (message->type) {
    case MESSAGE_CONFIGURED:
        return message->configured.kind < ERROR_KINDS &&
               is_text(message->configured.text, sizeof message->configured.text);
    case MESSAGE_LISTEN:
    case MESSAGE_UNLISTEN:
        return message->listener.is_shared <= 1 && message->listener.is_passed <= 1 &&
               is_text(message->listener.name, sizeof message->listener.name) &&
               message->listener.name[0] != '\0';
    case MESSAGE_DRAIN:
        return message->drain.within_ms >= -1;
    case MESSAGE_STATE:
        return message->state.is_serving <= 1 && message->state.is_succeeded <= 1 &&
               message->state.is_signing <= 1 &&
               is_text(message->state.last_error, sizeof message->state.last_error);
    case MESSAGE_NOTE:
        return message->note.size_bytes <= sizeof message->note.packet;
    case MESSAGE_TICKETS:
        return message->tickets.count <= MESSAGE_TICKET_KEYS;
    default:
        return true;
    }
}

enum error_kind message_decode(struct message *out, struct span packet, const int *fds,
                               size_t fd_count, struct error *error)
{
    struct header header;
    struct message message;

    if (packet.size < sizeof header)
        return error_set(error, ERROR_SYNTAX, "a message of %zu bytes", packet.size);
    memcpy(&header, packet.at, sizeof header);
    if (header.magic != MAGIC)
        return error_set(error, ERROR_SYNTAX, "a message of another version");
    if (header.type <= MESSAGE_NONE || header.type >= MESSAGE_TYPES)
        return error_set(error, ERROR_SYNTAX, "a message of unknown type %u", header.type);
    if (header.size_bytes != rows[header.type].size_bytes ||
        packet.size != sizeof header + header.size_bytes)
        return error_set(error, ERROR_SYNTAX, "a %s message of %zu bytes", rows[header.type].name,
                         packet.size);
    if (fd_count != rows[header.type].fds)
        return error_set(error, ERROR_SYNTAX, "a %s message with %zu descriptors",
                         rows[header.type].name, fd_count);
    message = message_of((enum message_type)header.type);
    memcpy(&message.none, packet.at + sizeof header, header.size_bytes);
    if (!fields_are_sound(&message))
        return error_set(error, ERROR_SYNTAX, "a %s message with impossible fields",
                         rows[header.type].name);
    if (fd_count > 0)
        message.fd = fds[0];
    *out = message;
    return ERROR_NONE;
}

enum error_kind message_send(int channel, const struct message *message, struct error *error)
{
    char packet[MESSAGE_PACKET_BYTES];
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { packet, message_encode(packet, message) };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    ssize_t sent;

    assert((message->fd >= 0) == (rows[message->type].fds == 1));
    if (message->fd >= 0) {
        struct cmsghdr *first;

        memset(&control, 0, sizeof control);
        header.msg_control = control.room;
        header.msg_controllen = sizeof control.room;
        first = CMSG_FIRSTHDR(&header);
        first->cmsg_level = SOL_SOCKET;
        first->cmsg_type = SCM_RIGHTS;
        first->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(first), &message->fd, sizeof(int));
    }
    do
        sent = sendmsg(channel, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return ERROR_NONE;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS)
        return error_errno(error, ERROR_LIMIT, "cannot send a %s message now",
                           message_name(message->type));
    return error_errno(error, ERROR_LOST, "cannot send a %s message", message_name(message->type));
}

static size_t take_descriptors(struct msghdr *header, int *fds)
{
    size_t count = 0;

    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
        size_t here;

        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        here = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        assert(count + here <= MOST_FDS); // the control buffer has room for no more
        memcpy(fds + count, CMSG_DATA(at), here * sizeof(int));
        count += here;
    }
    return count;
}

enum message_outcome message_receive(int channel, struct message *out, struct error *error)
{
    char packet[MESSAGE_PACKET_BYTES];
    union {
        char room[CMSG_SPACE(MOST_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { packet, sizeof packet };
    struct msghdr header = { .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room };
    int fds[MOST_FDS];
    size_t fd_count;
    ssize_t got;
    enum error_kind kind;

    do
        got = recvmsg(channel, &header, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return MESSAGE_WAIT;
    if (got < 0 && errno != ECONNRESET) {
        error_errno(error, ERROR_LOST, "cannot receive a message");
        return MESSAGE_BAD;
    }
    if (got <= 0)
        return MESSAGE_END;
    fd_count = take_descriptors(&header, fds);
    if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        kind = error_set(error, ERROR_SYNTAX, "a message longer than any");
    else
        kind = message_decode(out, span_of(packet, (size_t)got), fds, fd_count, error);
    if (kind == ERROR_NONE)
        return MESSAGE_GOT;
    for (size_t i = 0; i < fd_count; i++)
        close(fds[i]);
    return MESSAGE_BAD;
}
