/*
 * What a parent proxy answers. The first byte says what kind it is, whether there is a login, and
 * how the rest is cut. Whole and cut, the talk must end alike and have said the same; where it
 * succeeds, what it leaves is the end of what came.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/parent.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct outcome {
    enum error_kind kind;
    enum parent_step step;
    struct buffer said, left;
};

static void play(struct outcome *out, unsigned how, struct span answers, size_t piece)
{
    struct parent parent = { .kind = how & 1 ? PARENT_SOCKS5 : PARENT_HTTP, .name = SPAN("p") };
    struct parent_talk talk;
    struct error error;

    if (how & 2) {
        parent.user = SPAN("user");
        parent.password = SPAN("password");
        parent.authorization = SPAN("Basic dTpw");
    }
    *out = (struct outcome){ .said.limit_bytes = 1 << 16, .left.limit_bytes = 1 << 20 };
    parent_talk_init(&talk, &parent, how & 4 ? SPAN("::1") : SPAN("host.example"), 443);
    for (size_t at = 0; at < answers.size && !out->kind && talk.step != PARENT_DONE;) {
        size_t size = answers.size - at < piece ? answers.size - at : piece;

        CHECK(buffer_append(&out->said, buffer_span(&talk.out)));
        talk.out.size = 0;
        out->kind = parent_talk_feed(&talk, span_slice(answers, at, size), &error);
        CHECK(!out->kind || (error.kind == out->kind && error.text[0]));
        at += size;
        if (talk.step == PARENT_DONE && !out->kind) {
            CHECK(buffer_append(&out->left, buffer_span(&talk.answer)));
            CHECK(buffer_append(&out->left, span_from(answers, at)));
        }
    }
    CHECK(buffer_append(&out->said, buffer_span(&talk.out)));
    out->step = talk.step;
    parent_talk_done(&talk);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct outcome whole, cut;
    struct span answers;

    if (size == 0 || size > PARENT_ANSWER_BYTES) // above it, what is too much depends on the cuts
        return 0;
    answers = span_of((const char *)bytes + 1, size - 1);
    play(&whole, bytes[0], answers, size);
    play(&cut, bytes[0], answers, 1 + (bytes[0] >> 4));
    CHECK(whole.kind == cut.kind);
    CHECK(whole.kind || whole.step == cut.step);
    CHECK(span_equal(buffer_span(&whole.said), buffer_span(&cut.said)));
    CHECK(span_equal(buffer_span(&whole.left), buffer_span(&cut.left)));
    if (whole.left.size)
        CHECK(memcmp(whole.left.at, bytes + size - whole.left.size, whole.left.size) == 0);
    buffer_release(&whole.said);
    buffer_release(&whole.left);
    buffer_release(&cut.said);
    buffer_release(&cut.left);
    return 0;
}
