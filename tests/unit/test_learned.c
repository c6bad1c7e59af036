/* Who trusts the authority and who does not: what is noted, how long it holds, its text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>

#include "proxy/learned.h"

#define HEAD "dejunk learned 1\n"
#define FAMILY UINT64_C(0xf1)
#define MINUTE UINT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define START UINT64_C(1700000000000)
#define TEN "aaaaaaaaaa"
#define FIFTY TEN TEN TEN TEN TEN

/* ---- a story, an event in each row ---- */

struct step {
    char what; // R refused, C closed, A accepted, W wants a certificate, e enrol, u unenrol, f
               // forget
    const char *client; // address, or "user:NAME"
    uint64_t family;
    const char *host;
    uint64_t at_ms; // since START
    bool is_blocked;
    const char *want;        // letters: c changed, t a tunnel, e an enrolment ended
    uint64_t want_tunnel_ms; // with t
};

static struct learned_who who_of(const struct step *step)
{
    struct learned_who who = { .family = step->family, .host = span_text(step->host) };

    if (strncmp(step->client, "user:", 5) == 0) {
        who.user = span_text(step->client + 5);
        who.address = SPAN("10.9.9.9");
    } else {
        who.address = span_text(step->client);
    }
    return who;
}

static void take_step(struct learned *learned, const struct step *step, const char *story, size_t i)
{
    static const char letters[] = "RCAW";
    struct learned_event event = { .is_blocked = step->is_blocked, .who = who_of(step) };
    struct learned_outcome outcome;
    char got[8] = "";
    const char *at = strchr(letters, step->what);

    if (step->what == 'e') {
        assert_int_equal(learned_enrol(learned, span_text(step->client), step->family,
                                       SPAN("by-hand"), START + step->at_ms, LEARNED_ALWAYS, NULL),
                         ERROR_NONE);
        return;
    }
    if (step->what == 'u') {
        assert_true(learned_unenrol(learned, span_text(step->client), step->family) > 0);
        return;
    }
    if (step->what == 'f') {
        learned_forget(learned, span_text(step->host));
        return;
    }
    event.kind = (enum learned_kind)(at - letters);
    learned_note(learned, &event, START + step->at_ms, &outcome);
    snprintf(got, sizeof got, "%s%s%s", outcome.has_changed ? "c" : "",
             outcome.has_tunnel ? "t" : "", outcome.has_ended ? "e" : "");
    if (strcmp(got, step->want) != 0)
        fail_msg("%s, step %zu: \"%s\", wanted \"%s\"", story, i, got, step->want);
    if (outcome.has_tunnel && outcome.tunnel_ms != step->want_tunnel_ms)
        fail_msg("%s, step %zu: for %llu ms", story, i, (unsigned long long)outcome.tunnel_ms);
}

static const struct {
    const char *name;
    struct step steps[10];
    struct step ask; // a tunnel (T) or an enrolment (E)? `want` is "yes" or "no"
} stories[] = {
    { "an alert is whole evidence",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR } },
      { 'T', "10.0.0.1", FAMILY, "a", HOUR - 1, false, "yes", 0 } },
    { "for an hour",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR } },
      { 'T', "10.0.0.1", FAMILY, "a", HOUR, false, "no", 0 } },
    { "for that client",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR } },
      { 'T', "10.0.0.2", FAMILY, "a", 1, false, "no", 0 } },
    { "for that program",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR } },
      { 'T', "10.0.0.1", FAMILY + 1, "a", 1, false, "no", 0 } },
    { "for that host",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR } },
      { 'T', "10.0.0.1", FAMILY, "b.a", 1, false, "no", 0 } },
    { "a user's is the user's, wherever",
      { { 'R', "user:ann", FAMILY, "a", 0, false, "ct", HOUR } },
      { 'T', "user:ann", FAMILY, "a", 1, false, "yes", 0 } },
    { "a second alert while it is passed through changes nothing",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "a", 5, false, "", 0 } },
      { 'T', "10.0.0.1", FAMILY, "a", HOUR + 1, false, "no", 0 } },
    { "an hour, a day, 30 days, 30 days",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "a", HOUR, false, "ct", DAY },
        { 'R', "10.0.0.1", FAMILY, "a", 2 * DAY, false, "ct", 30 * DAY },
        { 'R', "10.0.0.1", FAMILY, "a", 40 * DAY, false, "ct", 30 * DAY } },
      { 'T', "10.0.0.1", FAMILY, "a", 69 * DAY, false, "yes", 0 } },
    { "who accepts after the hour begins anew",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'A', "10.0.0.1", FAMILY, "a", HOUR + 1, false, "c", 0 },
        { 'R', "10.0.0.1", FAMILY, "a", HOUR + 2, false, "ct", HOUR } },
      { 'T', "10.0.0.1", FAMILY, "a", 2 * HOUR + 3, false, "no", 0 } },
    { "a close counts a third",
      { { 'C', "10.0.0.1", FAMILY, "a", 0, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 10, false, "c", 0 } },
      { 'T', "10.0.0.1", FAMILY, "a", 20, false, "no", 0 } },
    { "three closes are an alert",
      { { 'C', "10.0.0.1", FAMILY, "a", 0, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 10, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 10 * MINUTE - 1, false, "ct", HOUR } },
      { 'T', "10.0.0.1", FAMILY, "a", 10 * MINUTE, false, "yes", 0 } },
    { "within 10 minutes",
      { { 'C', "10.0.0.1", FAMILY, "a", 0, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 10, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 10 * MINUTE, false, "c", 0 } },
      { 'T', "10.0.0.1", FAMILY, "a", 10 * MINUTE, false, "no", 0 } },
    { "a finished handshake wipes closes",
      { { 'C', "10.0.0.1", FAMILY, "a", 0, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 1, false, "c", 0 },
        { 'A', "10.0.0.1", FAMILY, "a", 2, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 3, false, "c", 0 } },
      { 'T', "10.0.0.1", FAMILY, "a", 4, false, "no", 0 } },
    { "but only of the same program",
      { { 'C', "10.0.0.1", FAMILY, "a", 0, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 1, false, "c", 0 },
        { 'A', "10.0.0.1", FAMILY + 1, "a", 2, false, "", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 3, false, "ct", HOUR } },
      { 'T', "10.0.0.1", FAMILY, "a", 4, false, "yes", 0 } },
    { "and with that host",
      { { 'C', "10.0.0.1", FAMILY, "a", 0, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 1, false, "c", 0 },
        { 'A', "10.0.0.1", FAMILY, "b", 2, false, "", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 3, false, "ct", HOUR } },
      { 'T', "10.0.0.1", FAMILY, "a", 4, false, "yes", 0 } },
    { "an alert stands against a handshake that was under way",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'A', "10.0.0.1", FAMILY, "a", 1, false, "", 0 } },
      { 'T', "10.0.0.1", FAMILY, "a", 4, false, "yes", 0 } },
    { "a host that rules block is never passed through",
      { { 'R', "10.0.0.1", FAMILY, "ads", 0, true, "", 0 },
        { 'C', "10.0.0.1", FAMILY, "ads", 1, true, "", 0 },
        { 'C', "10.0.0.1", FAMILY, "ads", 1, true, "", 0 },
        { 'C', "10.0.0.1", FAMILY, "ads", 1, true, "", 0 },
        { 'W', "10.0.0.1", FAMILY, "ads", 1, true, "", 0 } },
      { 'T', "10.0.0.1", FAMILY, "ads", 2, false, "no", 0 } },
    { "who wants a client certificate is passed through at once",
      { { 'W', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR } },
      { 'T', "10.0.0.1", FAMILY, "a", 4, false, "yes", 0 } },
    { "what is forgotten",
      { { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'f', "", 0, "a", 0, false, "", 0 } },
      { 'T', "10.0.0.1", FAMILY, "a", 4, false, "no", 0 } },
    { "a clock that was set back",
      { { 'C', "10.0.0.1", FAMILY, "a", 10 * MINUTE, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 10 * MINUTE, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "a", 0, false, "c", 0 } },
      { 'T', "10.0.0.1", FAMILY, "a", 1, false, "no", 0 } },
    { "no family, no note",
      { { 'R', "10.0.0.1", 0, "a", 0, false, "", 0 } },
      { 'T', "10.0.0.1", 0, "a", 1, false, "no", 0 } },
    { "an odd host, no note",
      { { 'R', "10.0.0.1", FAMILY, "a b", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, FIFTY FIFTY FIFTY FIFTY FIFTY "aaa", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, FIFTY FIFTY FIFTY FIFTY FIFTY "aaaa", 0, false, "", 0 } },
      { 'T', "10.0.0.1", FAMILY, "a b", 1, false, "no", 0 } },

    { "an odd client, no note",
      { { 'R', "10.0.0.1 ", FAMILY, "a", 0, false, "", 0 },
        { 'R', "FD00::1", FAMILY, "a", 0, false, "", 0 },
        { 'R', "", FAMILY, "a", 0, false, "", 0 },
        { 'R', "user:a:b", FAMILY, "a", 0, false, "", 0 },
        { 'R', "user:ann", FAMILY, "a", 0, false, "ct", HOUR } },
      { 'T', "FD00::1", FAMILY, "a", 1, false, "no", 0 } },

    { "nobody is enrolled", { { 0 } }, { 'E', "10.0.0.1", FAMILY, "", 1, false, "no", 0 } },
    { "enrolled, any family",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 } },
      { 'E', "10.0.0.1", FAMILY, "", 1, false, "yes", 0 } },
    { "enrolled, one family",
      { { 'e', "10.0.0.1", FAMILY, "", 0, false, "", 0 } },
      { 'E', "10.0.0.1", FAMILY, "", 1, false, "yes", 0 } },
    { "enrolled, another family",
      { { 'e', "10.0.0.1", FAMILY, "", 0, false, "", 0 } },
      { 'E', "10.0.0.1", FAMILY + 1, "", 1, false, "no", 0 } },
    { "enrolled, a family that is not known yet",
      { { 'e', "10.0.0.1", FAMILY, "", 0, false, "", 0 } },
      { 'E', "10.0.0.1", 0, "", 1, false, "yes", 0 } },
    { "enrolled, another client",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 } },
      { 'E', "10.0.0.2", 0, "", 1, false, "no", 0 } },
    { "enrolled, a user",
      { { 'e', "user:ann", 0, "", 0, false, "", 0 } },
      { 'E', "user:ann", 0, "", 1, false, "yes", 0 } },
    { "enrolled, a user by the address",
      { { 'e', "10.9.9.9", FAMILY, "", 0, false, "", 0 } },
      { 'E', "user:ann", FAMILY, "", 1, false, "yes", 0 } },
    { "no longer",
      { { 'e', "10.0.0.1", FAMILY, "", 0, false, "", 0 },
        { 'u', "10.0.0.1", 0, "", 0, false, "", 0 } },
      { 'E', "10.0.0.1", FAMILY, "", 1, false, "no", 0 } },
    { "two hosts refused",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "b", 1, false, "ct", HOUR } },
      { 'E', "10.0.0.1", FAMILY, "", 2, false, "yes", 0 } },
    { "three hosts refused",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "b", 1, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "c", 10 * MINUTE - 1, false, "cte", HOUR } },
      { 'E', "10.0.0.1", FAMILY, "", 10 * MINUTE, false, "no", 0 } },
    { "three hosts refused, blocked ones",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, "a", 0, true, "c", 0 },
        { 'R', "10.0.0.1", FAMILY, "b", 1, true, "c", 0 },
        { 'R', "10.0.0.1", FAMILY, "c", 2, true, "ce", 0 } },
      { 'E', "10.0.0.1", FAMILY, "", 10 * MINUTE, false, "no", 0 } },
    { "the same host three times",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY + 1, "a", 1, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY + 2, "a", 2, false, "ct", HOUR } },
      { 'E', "10.0.0.1", FAMILY, "", 3, false, "yes", 0 } },
    { "three hosts, one accepted between",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "b", 1, false, "ct", HOUR },
        { 'A', "10.0.0.1", FAMILY, "d", 2, false, "c", 0 },
        { 'R', "10.0.0.1", FAMILY, "c", 3, false, "ct", HOUR } },
      { 'E', "10.0.0.1", FAMILY, "", 4, false, "yes", 0 } },
    { "three hosts, not within 10 minutes",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "b", 1, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "c", 10 * MINUTE, false, "ct", HOUR } },
      { 'E', "10.0.0.1", FAMILY, "", 10 * MINUTE, false, "yes", 0 } },
    { "three hosts refused by another program of one enrolled by family",
      { { 'e', "10.0.0.1", FAMILY, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY + 1, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY + 1, "b", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY + 1, "c", 0, false, "ct", HOUR } },
      { 'E', "10.0.0.1", FAMILY, "", 1, false, "yes", 0 } },
    { "enrolled again after it was ended",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "b", 1, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "c", 2, false, "cte", HOUR },
        { 'e', "10.0.0.1", 0, "", 3, false, "", 0 } },
      { 'E', "10.0.0.1", FAMILY, "", 4, false, "yes", 0 } },
    { "three closes are a refusal of the enrolled, too",
      { { 'e', "10.0.0.1", 0, "", 0, false, "", 0 },
        { 'R', "10.0.0.1", FAMILY, "a", 0, false, "ct", HOUR },
        { 'R', "10.0.0.1", FAMILY, "b", 0, false, "ct", HOUR },
        { 'C', "10.0.0.1", FAMILY, "c", 0, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "c", 0, false, "c", 0 },
        { 'C', "10.0.0.1", FAMILY, "c", 0, false, "cte", HOUR } },
      { 'E', "10.0.0.1", FAMILY, "", 4, false, "no", 0 } },
};

static char *text_of(const struct learned *learned)
{
    struct buffer text = { .limit_bytes = LEARNED_TEXT_BYTES };

    assert_true(learned_write(learned, &text));
    assert_true(buffer_append(&text, span_of("", 1)));
    return text.at;
}

/* Each story is also told across a text, as if another process went on with it after each step. */
static void stories_end_as_they_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof stories / sizeof *stories; i++) {
        const size_t row = i / 2;
        const struct step *ask = &stories[row].ask;
        struct learned *learned = learned_new();
        const struct learned_who who = who_of(ask);
        bool got;

        for (size_t s = 0; s < 10 && stories[row].steps[s].what; s++) {
            take_step(learned, &stories[row].steps[s], stories[row].name, s);
            if (i % 2 == 1) {
                char *text = text_of(learned);

                learned_free(&learned);
                learned = learned_new();
                assert_int_equal(learned_read(learned, span_text(text), NULL), ERROR_NONE);
                free(text);
            }
        }
        got = ask->what == 'T' ? learned_has_tunnel(learned, &who, START + ask->at_ms)
                               : learned_is_enrolled(learned, &who, START + ask->at_ms);
        if (got != (strcmp(ask->want, "yes") == 0))
            fail_msg("%s: %s", stories[row].name, got ? "yes" : "no");
        learned_free(&learned);
    }
}

/* ---- texts ---- */

static const struct {
    const char *name, *text;
    bool is_good;
} texts[] = {
    { "empty", "", false },
    { "nothing", HEAD "end 0\n", true },
    { "another version", "dejunk learned 2\nend 0\n", false },
    { "no end", HEAD, false },
    { "another count", HEAD "end 1\n", false },
    { "more behind the end", HEAD "end 0\n\n", false },
    { "cut", HEAD "end 0", false },
    { "an enrolment", HEAD "enrolled 10.0.0.1 any 5 always by-hand\nend 1\n", true },
    { "by a long way",
      HEAD "enrolled 10.0.0.1 any 5 always aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb\nend 1\n", true },
    { "by a longer one",
      HEAD "enrolled 10.0.0.1 any 5 always aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbc\nend 1\n", false },
    { "of a family", HEAD "enrolled 10.0.0.1 00000000000000f1 5 9 by-hand\nend 1\n", true },
    { "of a user", HEAD "enrolled user:ann%20b%c3%a4 any 5 9 by-hand\nend 1\n", true },
    { "of a user with a colon", HEAD "enrolled user:a%3ab any 5 9 by-hand\nend 1\n", false },
    { "of nobody", HEAD "enrolled user: any 5 9 by-hand\nend 1\n", false },
    { "of a name", HEAD "enrolled ann any 5 9 by-hand\nend 1\n", false },
    { "of an odd address", HEAD "enrolled 010.0.0.1 any 5 9 by-hand\nend 1\n", false },
    { "of an address in another spelling", HEAD "enrolled FD00::1 any 5 9 by-hand\nend 1\n",
      false },
    { "with half a code", HEAD "enrolled user:ann%2 any 5 9 by-hand\nend 1\n", false },
    { "with an odd code", HEAD "enrolled user:ann%2g any 5 9 by-hand\nend 1\n", false },
    { "with NUL", HEAD "enrolled user:ann%00 any 5 9 by-hand\nend 1\n", false },
    { "family of zero", HEAD "enrolled 10.0.0.1 0000000000000000 5 9 by-hand\nend 1\n", false },
    { "family too short", HEAD "enrolled 10.0.0.1 f1 5 9 by-hand\nend 1\n", false },
    { "family in capitals", HEAD "enrolled 10.0.0.1 00000000000000F1 5 9 by-hand\nend 1\n", false },
    { "since always", HEAD "enrolled 10.0.0.1 any always 9 by-hand\nend 1\n", false },
    { "no time", HEAD "enrolled 10.0.0.1 any x 9 by-hand\nend 1\n", false },
    { "a time beyond", HEAD "enrolled 10.0.0.1 any 5 9223372036854775808 by-hand\nend 1\n", false },
    { "the last time", HEAD "enrolled 10.0.0.1 any 5 9223372036854775807 by-hand\nend 1\n", true },
    { "how in capitals", HEAD "enrolled 10.0.0.1 any 5 9 By-hand\nend 1\n", false },
    { "how missing", HEAD "enrolled 10.0.0.1 any 5 9\nend 1\n", false },
    { "a host refused", HEAD "enrolled 10.0.0.1 any 5 9 by-hand a 6\nend 1\n", true },
    { "three", HEAD "enrolled 10.0.0.1 any 5 9 by-hand a 6 b 6 c 6\nend 1\n", true },
    { "four", HEAD "enrolled 10.0.0.1 any 5 9 by-hand a 6 b 6 c 6 d 6\nend 1\n", false },
    { "one without a time", HEAD "enrolled 10.0.0.1 any 5 9 by-hand a\nend 1\n", false },
    { "one of another time", HEAD "enrolled 10.0.0.1 any 5 9 by-hand a always\nend 1\n", false },
    { "an odd host", HEAD "enrolled 10.0.0.1 any 5 9 by-hand A 6\nend 1\n", false },
    { "two of one client",
      HEAD "enrolled 10.0.0.1 any 5 9 by-hand\nenrolled 10.0.0.1 any 5 9 by-hand\nend 2\n", false },
    { "two blanks", HEAD "enrolled  10.0.0.1 any 5 9 by-hand\nend 1\n", false },
    { "an empty line", HEAD "\nend 1\n", false },
    { "unknown", HEAD "what 10.0.0.1 00000000000000f1 a 5 9 0 refused\nend 1\n", false },
    { "a tunnel", HEAD "tunnel 10.0.0.1 00000000000000f1 a 5 9 0 refused\nend 1\n", true },
    { "the last level", HEAD "tunnel 10.0.0.1 00000000000000f1 a 5 9 2 closed\nend 1\n", true },
    { "a level beyond", HEAD "tunnel 10.0.0.1 00000000000000f1 a 5 9 3 refused\nend 1\n", false },
    { "learned from what is no reason",
      HEAD "tunnel 10.0.0.1 00000000000000f1 a 5 9 0 accepted\nend 1\n", false },
    { "from what nobody knows", HEAD "tunnel 10.0.0.1 00000000000000f1 a 5 9 0 x\nend 1\n", false },
    { "a tunnel for good", HEAD "tunnel 10.0.0.1 00000000000000f1 a 5 always 0 refused\nend 1\n",
      false },
    { "a tunnel of any family", HEAD "tunnel 10.0.0.1 any a 5 9 0 refused\nend 1\n", false },
    { "a tunnel to an address", HEAD "tunnel ::1 00000000000000f1 fd00::1 5 9 0 refused\nend 1\n",
      true },
    { "a word more", HEAD "tunnel 10.0.0.1 00000000000000f1 a 5 9 0 refused x\nend 1\n", false },
    { "a close", HEAD "closed 10.0.0.1 00000000000000f1 a 5\nend 1\n", true },
    { "two", HEAD "closed 10.0.0.1 00000000000000f1 a 5 6\nend 1\n", true },
    { "three closes", HEAD "closed 10.0.0.1 00000000000000f1 a 5 6 7\nend 1\n", false },
    { "none", HEAD "closed 10.0.0.1 00000000000000f1 a\nend 1\n", true },
};

static void texts_are_taken_or_not(void **state)
{
    const char *before = HEAD "enrolled 10.7.7.7 any 5 always by-hand\nend 1\n";

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct learned *learned = learned_new();
        struct error error;
        enum error_kind kind;
        char *text;

        assert_int_equal(learned_read(learned, span_text(before), &error), ERROR_NONE);
        kind = learned_read(learned, span_text(texts[i].text), &error);
        if ((kind == ERROR_NONE) != texts[i].is_good)
            fail_msg("%s: kind %d", texts[i].name, kind);
        text = text_of(learned);
        if (strcmp(text, texts[i].is_good ? texts[i].text : before) != 0)
            fail_msg("%s: became %s", texts[i].name, text);
        free(text);
        learned_free(&learned);
    }
}

static void a_text_has_a_limit(void **state)
{
    struct learned *learned = learned_new();
    char *text = malloc(LEARNED_TEXT_BYTES + 1);
    struct error error;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', LEARNED_TEXT_BYTES + 1);
    assert_int_equal(learned_read(learned, span_of(text, LEARNED_TEXT_BYTES + 1), &error),
                     ERROR_LIMIT);
    assert_int_equal(learned_read(learned, span_of(text, LEARNED_TEXT_BYTES), &error),
                     ERROR_SYNTAX);
    free(text);
    learned_free(&learned);
}

/* ---- limits ---- */

static void note(struct learned *learned, enum learned_kind kind, const char *host, uint64_t at_ms)
{
    struct learned_event event = {
        .kind = kind,
        .who = { .address = SPAN("10.0.0.1"), .family = FAMILY, .host = span_text(host) }
    };
    struct learned_outcome outcome;

    learned_note(learned, &event, at_ms, &outcome);
}

/* One that has few makes way for itself out of the many of another, who then gets no more than a
 * quarter of the table from it. */
static void others_are_not_pushed_out(struct learned *learned)
{
    struct learned_event event = { .kind = LEARNED_REFUSED,
                                   .who = { .address = SPAN("10.0.0.9"), .family = FAMILY } };
    struct learned_who who = { .address = SPAN("10.0.0.1"), .family = FAMILY };
    struct learned_outcome outcome;
    char name[32];

    for (unsigned i = 0; i < 2 * LEARNED_TUNNELS; i++) {
        snprintf(name, sizeof name, "x%u", i);
        event.who.host = span_text(name);
        learned_note(learned, &event, START, &outcome);
    }
    who.host = SPAN("one-more");
    assert_true(learned_has_tunnel(learned, &who, START));
    assert_int_equal(learned_counts(learned, START).tunnels, LEARNED_TUNNELS);
    snprintf(name, sizeof name, "h%d", LEARNED_TUNNELS / 4 + 1);
    who.host = span_text(name);
    assert_true(learned_has_tunnel(learned, &who, START));
}

static void full_tables_forget_the_oldest_and_have_a_text(void **state)
{
    struct learned *learned = learned_new(), *copy = learned_new();
    struct learned_who first = { .address = SPAN("10.0.0.1"),
                                 .family = FAMILY,
                                 .host = SPAN("h0") };
    struct learned_who second = first;
    struct error error;
    char name[LEARNED_CLIENT_BYTES + 1], *text;

    (void)state;
    second.host = SPAN("h1");
    for (unsigned i = 0; i < LEARNED_TUNNELS; i++) {
        snprintf(name, sizeof name, "h%u", i);
        note(learned, LEARNED_REFUSED, name, START);
    }
    assert_true(learned_has_tunnel(learned, &first, START));
    note(learned, LEARNED_REFUSED, "one-more", START);
    assert_false(learned_has_tunnel(learned, &first, START));
    assert_true(learned_has_tunnel(learned, &second, START));
    assert_int_equal(learned_counts(learned, START).tunnels, LEARNED_TUNNELS);
    others_are_not_pushed_out(learned);

    for (unsigned i = 0; i <= LEARNED_CLOSES; i++) {
        snprintf(name, sizeof name, "c%u", i);
        note(learned, LEARNED_CLOSED, name, START);
    }
    assert_int_equal(learned_counts(learned, START).closes, LEARNED_CLOSES);

    for (unsigned i = 0; i <= LEARNED_ENROLMENTS; i++) { // the longest names, each byte escaped
        size_t size = (size_t)snprintf(name, sizeof name, "user:%u", i);

        memset(name + size, ' ', LEARNED_CLIENT_BYTES - size);
        name[LEARNED_CLIENT_BYTES] = '\0';
        assert_int_equal(learned_enrol(learned, span_text(name), FAMILY, SPAN(TEN TEN TEN "aa"),
                                       START, LEARNED_ALWAYS, &error),
                         i < LEARNED_ENROLMENTS ? ERROR_NONE : ERROR_LIMIT);
    }
    text = text_of(learned);
    assert_int_equal(learned_read(copy, span_text(text), &error), ERROR_NONE);
    free(text);
    learned_free(&learned);
    learned_free(&copy);
}

static void clients_and_ways_are_checked(void **state)
{
    static const struct {
        const char *client, *how, *want; // NULL: refused
    } cases[] = {
        { "10.0.0.1", "by-hand", "10.0.0.1" },
        { "FD00:0::1", "by-hand", "fd00::1" },
        { "::ffff:10.0.0.1", "by-hand", "10.0.0.1" },
        { "user:Ann B", "by-hand", "user:Ann%20B" },
        { "user:", "by-hand", NULL },
        { "user:a:b", "by-hand", NULL },
        { "user:a\n", "by-hand", NULL },
        { "ann", "by-hand", NULL },
        { "10.0.0.0/8", "by-hand", NULL },
        { "", "by-hand", NULL },
        { "10.0.0.1", "", NULL },
        { "10.0.0.1", "by hand", NULL },
        { "10.0.0.1", TEN TEN TEN "aaa", NULL },
        { "user:" FIFTY FIFTY FIFTY FIFTY FIFTY "aaaaa", "x",
          "user:" FIFTY FIFTY FIFTY FIFTY FIFTY "aaaaa" },
        { "user:" FIFTY FIFTY FIFTY FIFTY FIFTY "aaaaaa", "x", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct learned *learned = learned_new();
        char want[600], *text;
        enum error_kind kind = learned_enrol(learned, span_text(cases[i].client), 0,
                                             span_text(cases[i].how), 7, LEARNED_ALWAYS, NULL);

        snprintf(want, sizeof want, HEAD "enrolled %s any 7 always %s\nend 1\n", cases[i].want,
                 cases[i].how);
        text = text_of(learned);
        if ((kind == ERROR_NONE) != (cases[i].want != NULL) ||
            strcmp(text, cases[i].want ? want : HEAD "end 0\n") != 0)
            fail_msg("\"%s\", \"%s\": %s", cases[i].client, cases[i].how, text);
        free(text);
        learned_free(&learned);
    }
}

/* ---- what is of no more use ---- */

static void what_is_of_no_more_use_goes(void **state)
{
    struct learned *learned = learned_new();
    const uint64_t end = START + HOUR;
    char *text;

    (void)state;
    assert_int_equal(learned_read(learned,
                                  SPAN(HEAD "enrolled 10.0.0.1 any 5 1700003600000 by-hand\n"
                                            "enrolled 10.0.0.2 any 5 always by-hand a "
                                            "1700000000000 b 1700000000000 c 1700000000000\n"
                                            "tunnel 10.0.0.1 00000000000000f1 a 5 1700003600000 1 "
                                            "refused\n"
                                            "closed 10.0.0.1 00000000000000f1 b 1700000000000\n"
                                            "end 4\n"),
                                  NULL),
                     ERROR_NONE);
    assert_false(learned_expire(learned, START + 10 * MINUTE - 1));
    assert_int_equal(learned_counts(learned, START).enrolments, 1);
    assert_int_equal(learned_counts(learned, START).ended, 1);
    assert_int_equal(learned_counts(learned, START).tunnels, 1);
    assert_true(learned_expire(learned, START + 10 * MINUTE)); // the close
    assert_false(learned_expire(learned, end - 1));
    assert_true(learned_expire(learned, end)); // the enrolment
    assert_int_equal(learned_counts(learned, end).tunnels, 0);
    assert_false(learned_expire(learned, START + 7 * DAY - 1));
    assert_true(learned_expire(learned, START + 7 * DAY)); // the one that was ended
    assert_false(learned_expire(learned, end + 30 * DAY - 1));
    assert_true(learned_expire(learned, end + 30 * DAY)); // the tunnel's level
    text = text_of(learned);
    assert_string_equal(text, HEAD "end 0\n");
    free(text);
    learned_free(&learned);
}

/* ---- packets ---- */

static void packets_bring_the_event(void **state)
{
    struct learned_event event = { .kind = LEARNED_CLOSED,
                                   .is_blocked = true,
                                   .who = { .address = SPAN("fd00::1"),
                                            .user = SPAN("ann"),
                                            .family = UINT64_C(0xfedcba9876543210),
                                            .host = SPAN("a.example") } };
    char packet[LEARNED_PACKET_BYTES + 1], longest[LEARNED_CLIENT_BYTES + 2];
    struct learned_event got;
    size_t size = learned_encode(packet, &event);

    (void)state;
    assert_int_equal(learned_decode(&got, span_of(packet, size), NULL), ERROR_NONE);
    assert_int_equal(got.kind, event.kind);
    assert_true(got.is_blocked);
    assert_true(got.who.family == event.who.family);
    assert_true(span_equal(got.who.address, event.who.address));
    assert_true(span_equal(got.who.user, event.who.user));
    assert_true(span_equal(got.who.host, event.who.host));
    for (size_t i = 0; i < size; i++)
        assert_int_equal(learned_decode(&got, span_of(packet, i), NULL), ERROR_SYNTAX);
    packet[size] = 0;
    assert_int_equal(learned_decode(&got, span_of(packet, size + 1), NULL), ERROR_SYNTAX);
    packet[4] = LEARNED_KINDS;
    assert_int_equal(learned_decode(&got, span_of(packet, size), NULL), ERROR_SYNTAX);

    memset(longest, 'a', sizeof longest);
    event.who.address = event.who.user = span_of(longest, LEARNED_CLIENT_BYTES);
    event.who.host = span_of(longest, LEARNED_HOST_BYTES);
    size = learned_encode(packet, &event);
    assert_in_range(size, 1, LEARNED_PACKET_BYTES);
    assert_int_equal(learned_decode(&got, span_of(packet, size), NULL), ERROR_NONE);
    event.who.host = span_of(longest, LEARNED_HOST_BYTES + 1);
    assert_int_equal(learned_encode(packet, &event), 0);
    event.who.host = SPAN("a");
    event.who.user = span_of(longest, LEARNED_CLIENT_BYTES + 1);
    assert_int_equal(learned_encode(packet, &event), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories_end_as_they_should),
        cmocka_unit_test(texts_are_taken_or_not),
        cmocka_unit_test(a_text_has_a_limit),
        cmocka_unit_test(full_tables_forget_the_oldest_and_have_a_text),
        cmocka_unit_test(clients_and_ways_are_checked),
        cmocka_unit_test(what_is_of_no_more_use_goes),
        cmocka_unit_test(packets_bring_the_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
