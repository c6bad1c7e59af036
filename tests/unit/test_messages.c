/* Messages between processes: what goes in comes out, and nothing else is taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/messages.h"

static bool brings_descriptor(enum message_type type)
{
    static const bool does[MESSAGE_TYPES] = {
#define DOES(id, member, size, fds, name) [MESSAGE_##id] = (fds) > 0,
        MESSAGES(DOES)
#undef DOES
    };
    return does[type];
}

static struct message example(enum message_type type, int fd)
{
    struct message message = message_of(type);

    if (type == MESSAGE_LISTEN || type == MESSAGE_UNLISTEN)
        snprintf(message.listener.name, sizeof message.listener.name, "[::1]:8119");
    if (brings_descriptor(type))
        message.fd = fd;
    return message;
}

static int open_pipe_end(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    return ends[1];
}

static void every_type_arrives_as_it_was_sent(void **state)
{
    int channel[2], fd = open_pipe_end();
    struct error error;

    (void)state;
    assert_int_equal(message_channel(channel, &error), ERROR_NONE);
    for (enum message_type type = MESSAGE_NONE + 1; type < MESSAGE_TYPES; type++) {
        struct message sent = example(type, fd), got;

        if (message_send(channel[0], &sent, &error) != ERROR_NONE)
            fail_msg("%s: %s", message_name(type), error.text);
        if (message_receive(channel[1], &got, &error) != MESSAGE_GOT)
            fail_msg("%s: %s", message_name(type), error.text);
        assert_int_equal(got.type, type);
        assert_memory_equal(&got.none, &sent.none, sizeof(struct message_note));
        assert_int_equal(got.fd >= 0, brings_descriptor(type));
        if (got.fd >= 0) {
            assert_true(fcntl(got.fd, F_GETFD) & FD_CLOEXEC);
            close(got.fd);
        }
    }
    assert_int_equal(message_receive(channel[1], &(struct message){ 0 }, &error), MESSAGE_WAIT);
    close(channel[0]);
    assert_int_equal(message_receive(channel[1], &(struct message){ 0 }, &error), MESSAGE_END);
    close(channel[1]);
    close(fd);
}

static void a_full_channel_and_a_lost_one_are_told_apart(void **state)
{
    int channel[2];
    struct message ping = message_of(MESSAGE_PING);
    struct error error;
    int sent = 0;

    (void)state;
    assert_int_equal(message_channel(channel, &error), ERROR_NONE);
    while (message_send(channel[0], &ping, &error) == ERROR_NONE)
        assert_true(++sent < 100000);
    assert_int_equal(error.kind, ERROR_LIMIT);
    assert_true(sent > 100);
    close(channel[1]);
    assert_int_equal(message_send(channel[0], &ping, &error), ERROR_LOST);
    close(channel[0]);
}

/* A good packet, then one thing done to it. */
static void bad_packets_are_refused(void **state)
{
    static const struct {
        const char *name;
        enum message_type type;
        size_t cut, add;  // at the end
        size_t at;        // a byte to change
        unsigned char by; // added to it
        size_t fds;
        enum error_kind want;
    } cases[] = {
        { "as it should be", MESSAGE_PING, 0, 0, 0, 0, 0, ERROR_NONE },
        { "another version", MESSAGE_PING, 0, 0, 0, 1, 0, ERROR_SYNTAX },
        { "no magic", MESSAGE_PING, 0, 0, 3, 1, 0, ERROR_SYNTAX },
        { "type 0", MESSAGE_READY, 0, 0, 4, 255, 0, ERROR_SYNTAX },
        { "unknown type", MESSAGE_READY, 0, 0, 5, 1, 0, ERROR_SYNTAX },
        { "size says more", MESSAGE_PING, 0, 0, 8, 1, 0, ERROR_SYNTAX },
        { "size says much more", MESSAGE_PING, 0, 0, 11, 255, 0, ERROR_SYNTAX },
        { "a byte too few", MESSAGE_PING, 1, 0, 0, 0, 0, ERROR_SYNTAX },
        { "a byte too many", MESSAGE_PING, 0, 1, 0, 0, 0, ERROR_SYNTAX },
        { "half a header", MESSAGE_READY, 1, 0, 0, 0, 0, ERROR_SYNTAX },
        { "nothing but a header", MESSAGE_READY, 0, 0, 0, 0, 0, ERROR_NONE },
        { "a descriptor nobody wants", MESSAGE_PING, 0, 0, 0, 0, 1, ERROR_SYNTAX },
        { "no descriptor", MESSAGE_LISTEN, 0, 0, 0, 0, 0, ERROR_SYNTAX },
        { "one descriptor", MESSAGE_LISTEN, 0, 0, 0, 0, 1, ERROR_NONE },
        { "two descriptors", MESSAGE_LISTEN, 0, 0, 0, 0, 2, ERROR_SYNTAX },
        { "a control in a name", MESSAGE_LISTEN, 0, 0, 12, 256 - '[' + 7, 1, ERROR_SYNTAX },
        { "an empty name", MESSAGE_LISTEN, 0, 0, 12, 256 - '[', 1, ERROR_SYNTAX },
        { "shared neither yes nor no", MESSAGE_LISTEN, 0, 0, 12 + 68, 2, 1, ERROR_SYNTAX },
        { "a kind that is none", MESSAGE_CONFIGURED, 0, 0, 12 + 8, 200, 0, ERROR_SYNTAX },
        { "a drain of no limit", MESSAGE_DRAIN, 0, 0, 0, 0, 0, ERROR_NONE },
    };
    const int fds[] = { 0, 1 };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char packet[MESSAGE_PACKET_BYTES + 1] = { 0 };
        struct message message = example(cases[i].type, 0), got = { .fd = -2 };
        size_t size = message_encode(packet, &message);
        enum error_kind kind;
        struct error error;

        if (cases[i].by != 0)
            packet[cases[i].at] = (char)(packet[cases[i].at] + cases[i].by);
        kind = message_decode(&got, span_of(packet, size - cases[i].cut + cases[i].add), fds,
                              cases[i].fds, &error);
        if (kind != cases[i].want)
            fail_msg("%s: got %s", cases[i].name, error_kind_name(kind));
        if (kind != ERROR_NONE && got.fd != -2)
            fail_msg("%s: the result was touched", cases[i].name);
    }
}

static void drains_are_limited_or_not_but_never_negative(void **state)
{
    struct message message = message_of(MESSAGE_DRAIN), got;
    char packet[MESSAGE_PACKET_BYTES];
    size_t size;

    (void)state;
    message.drain.within_ms = -1;
    size = message_encode(packet, &message);
    assert_int_equal(message_decode(&got, span_of(packet, size), NULL, 0, NULL), ERROR_NONE);
    message.drain.within_ms = -2;
    size = message_encode(packet, &message);
    assert_int_equal(message_decode(&got, span_of(packet, size), NULL, 0, NULL), ERROR_SYNTAX);
}

static void texts_must_end_inside_their_field(void **state)
{
    struct message message = message_of(MESSAGE_CONFIGURED), got;
    char packet[MESSAGE_PACKET_BYTES];
    size_t size;

    (void)state;
    memset(message.configured.text, 'x', MESSAGE_TEXT_BYTES - 1);
    size = message_encode(packet, &message);
    assert_int_equal(message_decode(&got, span_of(packet, size), NULL, 0, NULL), ERROR_NONE);
    assert_int_equal(strlen(got.configured.text), MESSAGE_TEXT_BYTES - 1);
    message.configured.text[MESSAGE_TEXT_BYTES - 1] = 'x';
    size = message_encode(packet, &message);
    assert_int_equal(message_decode(&got, span_of(packet, size), NULL, 0, NULL), ERROR_SYNTAX);
}

static void texts_are_cut_and_cleaned(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "", "" },
        { "1234567", "1234567" },
        { "12345678", "1234567" },
        { "a\nb\x7f", "a b " },
        { "\xc3\xa4", "\xc3\xa4" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char field[8];

        memset(field, 'z', sizeof field);
        message_set_text(field, sizeof field, cases[i].text);
        assert_string_equal(field, cases[i].want);
        assert_int_equal(field[7], 0);
    }
}

/* What comes along with a packet that is refused is closed. */
static void refused_packets_leak_no_descriptor(void **state)
{
    union {
        char room[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr header;
    } control;
    int channel[2], before = dup(0), after;
    struct iovec part = { (char[]){ "junk" }, 4 };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control };
    struct message got;
    struct error error;

    (void)state;
    close(before);
    memset(&control, 0, sizeof control); // standard input, again and again
    assert_int_equal(message_channel(channel, &error), ERROR_NONE);
    for (int fds = 1; fds <= 4; fds++) {
        control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                           .cmsg_type = SCM_RIGHTS,
                                           .cmsg_len = CMSG_LEN((size_t)fds * sizeof(int)) };
        header.msg_controllen = CMSG_SPACE((size_t)fds * sizeof(int));
        assert_int_equal(sendmsg(channel[0], &header, 0), 4);
        assert_int_equal(message_receive(channel[1], &got, &error), MESSAGE_BAD);
        assert_int_equal(error.kind, ERROR_SYNTAX);
    }
    close(channel[0]);
    close(channel[1]);
    after = dup(0);
    assert_int_equal(after, before);
    close(after);
}

static void packets_longer_than_any_are_refused(void **state)
{
    char packet[MESSAGE_PACKET_BYTES + 1] = { 0 };
    int channel[2];
    struct message got;
    struct error error;

    (void)state;
    assert_int_equal(message_channel(channel, &error), ERROR_NONE);
    assert_int_equal(send(channel[0], packet, sizeof packet, 0), (int)sizeof packet);
    assert_int_equal(message_receive(channel[1], &got, &error), MESSAGE_BAD);
    close(channel[0]);
    close(channel[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_arrives_as_it_was_sent),
        cmocka_unit_test(a_full_channel_and_a_lost_one_are_told_apart),
        cmocka_unit_test(bad_packets_are_refused),
        cmocka_unit_test(drains_are_limited_or_not_but_never_negative),
        cmocka_unit_test(texts_must_end_inside_their_field),
        cmocka_unit_test(texts_are_cut_and_cleaned),
        cmocka_unit_test(refused_packets_leak_no_descriptor),
        cmocka_unit_test(packets_longer_than_any_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
