/* Outboxes: in order whatever the peer takes, nothing lost, an end to what is kept. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/outbox.h"

/* A stream that takes so many bytes at a time, then nothing until it is told to. */
static struct sink {
    struct stream stream;
    struct buffer got;
    size_t takes_at_once, takes; // in one call; until it says to wait
    bool is_broken;
} sink, other;

static enum stream_outcome sink_write(struct stream *stream, const struct iovec *parts, int count,
                                      size_t *put)
{
    struct sink *to = stream->owner;
    size_t room = to->takes < to->takes_at_once ? to->takes : to->takes_at_once;

    if (to->is_broken) {
        errno = EPIPE;
        return STREAM_LOST;
    }
    if (room == 0)
        return STREAM_WAIT;
    *put = 0;
    for (int i = 0; i < count && room > 0; i++) {
        size_t size = parts[i].iov_len < room ? parts[i].iov_len : room;
        assert_true(buffer_append(&to->got, span_of(parts[i].iov_base, size)));
        room -= size;
        to->takes -= size;
        *put += size;
    }
    return STREAM_OK;
}

static const struct stream_ops sink_ops = { .write = sink_write };

static void open_sink(struct sink *to, size_t at_once, size_t takes)
{
    buffer_release(&to->got);
    *to = (struct sink){ .takes_at_once = at_once, .takes = takes };
    to->got.limit_bytes = 1 << 24;
    to->stream.ops = &sink_ops;
    to->stream.owner = to;
}

static void want(const struct sink *from, const char *text)
{
    if (!span_equal(buffer_span(&from->got), span_text(text)))
        fail_msg("want \"%s\", got \"%.*s\"", text, SPAN_PRINT(buffer_span(&from->got)));
}

static void put_all_kinds(struct outbox *outbox)
{
    struct buffer *head;
    size_t from;
    char soon_gone[] = "copied ";

    outbox_put(outbox, SPAN("lent "));
    outbox_put_copy(outbox, span_text(soon_gone));
    memset(soon_gone, 'x', sizeof soon_gone - 1);
    head = outbox_head(outbox);
    from = head->size;
    assert_true(buffer_append(head, SPAN("head ")));
    outbox_put_head(outbox, from);
    head = outbox_head(outbox); // a second one in the same event
    from = head->size;
    assert_true(buffer_append(head, SPAN("head2 ")));
    outbox_put_head(outbox, from);
    outbox_put(outbox, SPAN(""));
    outbox_put(outbox, SPAN("end"));
}

static void keeps_the_order_whatever_is_taken(void **state)
{
    static const char whole[] = "lent copied head head2 end";

    (void)state;
    for (size_t at_once = 1; at_once < sizeof whole + 1; at_once++)
        for (size_t first = 0; first < sizeof whole; first++) {
            struct outbox_stage stage;
            struct outbox outbox;

            outbox_stage_init(&stage);
            open_sink(&sink, at_once, first);
            outbox_init(&outbox, &stage, &sink.stream);
            put_all_kinds(&outbox);
            assert_true(outbox_flush(&outbox));
            assert_int_equal(outbox_is_empty(&outbox), sink.got.size == sizeof whole - 1);
            sink.takes = 1000;
            while (!outbox_is_empty(&outbox))
                assert_true(outbox_flush(&outbox));
            want(&sink, whole);
            assert_int_equal(outbox.written_bytes, sizeof whole - 1);
            outbox_done(&outbox);
            outbox_stage_done(&stage);
        }
}

static void more_parts_than_the_stage_has(void **state)
{
    struct outbox_stage stage;
    struct outbox outbox;
    char expected[3 * OUTBOX_PARTS + 1];

    (void)state;
    outbox_stage_init(&stage);
    open_sink(&sink, 1 << 20, 1 << 20);
    outbox_init(&outbox, &stage, &sink.stream);
    for (int i = 0; i < 3 * OUTBOX_PARTS; i++) {
        char c = (char)('a' + i % 26);
        expected[i] = c;
        if (i % 3)
            outbox_put_copy(&outbox, span_of(&c, 1));
        else
            outbox_put(&outbox, span_of(&expected[i], 1));
    }
    expected[3 * OUTBOX_PARTS] = '\0';
    assert_true(outbox_flush(&outbox));
    want(&sink, expected);
    outbox_done(&outbox);
    outbox_stage_done(&stage);
}

static void more_text_than_the_stage_has(void **state)
{
    static char text[OUTBOX_TEXT_BYTES + 1], expected[3 * OUTBOX_TEXT_BYTES + 1];
    struct outbox_stage stage;
    struct outbox outbox;

    (void)state;
    outbox_stage_init(&stage);
    open_sink(&sink, 1 << 20, 1 << 20);
    outbox_init(&outbox, &stage, &sink.stream);
    for (int i = 0; i < 3; i++) {
        memset(text, 'a' + i, OUTBOX_TEXT_BYTES);
        memset(expected + i * OUTBOX_TEXT_BYTES, 'a' + i, OUTBOX_TEXT_BYTES);
        outbox_put_copy(&outbox, span_of(text, OUTBOX_TEXT_BYTES));
    }
    assert_true(outbox_flush(&outbox));
    want(&sink, expected);
    outbox_done(&outbox);
    outbox_stage_done(&stage);
}

static void two_outboxes_share_a_stage(void **state)
{
    struct outbox_stage stage;
    struct outbox a, b;

    (void)state;
    outbox_stage_init(&stage);
    open_sink(&sink, 3, 100);
    open_sink(&other, 100, 2);
    outbox_init(&a, &stage, &sink.stream);
    outbox_init(&b, &stage, &other.stream);
    outbox_put(&a, SPAN("one "));
    outbox_put(&b, SPAN("eins "));
    outbox_put(&a, SPAN("two"));
    outbox_put(&b, SPAN("zwei"));
    other.takes = 100;
    while (outbox_flush(&a) && outbox_flush(&b) && (!outbox_is_empty(&a) || !outbox_is_empty(&b)))
        ;
    want(&sink, "one two");
    want(&other, "eins zwei");
    outbox_put(&a, SPAN("never sent"));
    outbox_done(&a); // staged and given up
    outbox_put(&b, SPAN("!"));
    assert_true(outbox_flush(&b));
    want(&sink, "one two");
    want(&other, "eins zwei!");
    outbox_done(&b);
    outbox_stage_done(&stage);
}

static void what_is_kept_has_a_limit(void **state)
{
    char *bytes = calloc(1, OUTBOX_LIMIT_BYTES + 1);

    (void)state;
    assert_non_null(bytes);
    for (size_t over = 0; over < 2; over++) {
        struct outbox_stage stage;
        struct outbox outbox;

        outbox_stage_init(&stage);
        open_sink(&sink, 1, 0);
        outbox_init(&outbox, &stage, &sink.stream);
        outbox_put(&outbox, span_of(bytes, OUTBOX_LIMIT_BYTES + over));
        assert_int_equal(outbox_flush(&outbox), !over);
        assert_int_equal(outbox.is_broken, over);
        outbox_done(&outbox);
        outbox_stage_done(&stage);
    }
    free(bytes);
}

static void a_broken_peer_is_told_once_and_for_all(void **state)
{
    struct outbox_stage stage;
    struct outbox outbox;

    (void)state;
    outbox_stage_init(&stage);
    open_sink(&sink, 2, 2);
    outbox_init(&outbox, &stage, &sink.stream);
    outbox_put(&outbox, SPAN("abcdef"));
    assert_true(outbox_flush(&outbox));
    sink.is_broken = true;
    assert_false(outbox_flush(&outbox));
    assert_true(outbox_is_empty(&outbox));
    outbox_put(&outbox, SPAN("more"));
    outbox_put_copy(&outbox, SPAN("more"));
    assert_false(outbox_flush(&outbox));
    want(&sink, "ab");
    outbox_done(&outbox);
    outbox_stage_done(&stage);
}

static int tear_down(void **state)
{
    (void)state;
    buffer_release(&sink.got);
    buffer_release(&other.got);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_order_whatever_is_taken),
        cmocka_unit_test(more_parts_than_the_stage_has),
        cmocka_unit_test(more_text_than_the_stage_has),
        cmocka_unit_test(two_outboxes_share_a_stage),
        cmocka_unit_test(what_is_kept_has_a_limit),
        cmocka_unit_test(a_broken_peer_is_told_once_and_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
