#include "admin/learner.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/keep.h"
#include "admin/overview.h"
#include "base/clock.h"
#include "base/log.h"

enum {
    SOON_MS = 1000,             // for evidence and the disk
    APART_MS = 20,              // pushes at least, so that nobody makes us do nothing else
    EXPIRY_MS = 10 * 60 * 1000, // what is of no more use goes
};

struct learner {
    struct loop *loop;
    struct learned *learned;
    char path[PATH_MAX]; // empty: nothing is kept
    void (*push)(void *owner, struct span text);
    void *owner;
    struct loop_timer soon, expiry;
    struct loop_timer next_push; // set: not before it
    bool is_unpushed, is_urgent, is_unwritten;
};

/* ---- to the workers and to the disk ---- */

static struct buffer text_of(const struct learner *learner)
{
    struct buffer text = { .limit_bytes = LEARNED_TEXT_BYTES };

    if (!learned_write(learner->learned, &text))
        abort(); // the limit is that of full tables
    return text;
}

static void push(struct learner *learner)
{
    struct buffer text = text_of(learner);

    learner->push(learner->owner, buffer_span(&text));
    learner->is_unpushed = learner->is_urgent = false;
    buffer_release(&text);
    loop_timer_set(&learner->next_push, APART_MS);
}

static void on_next_push(void *owner)
{
    struct learner *learner = owner;

    if (learner->is_urgent)
        push(learner);
}

static enum error_kind keep(struct learner *learner, struct error *error)
{
    struct buffer text;
    struct error why;
    enum error_kind kind;

    learner->is_unwritten = false;
    if (learner->path[0] == '\0')
        return error_set(error, ERROR_LIMIT, "in force, but not kept: no state directory");
    text = text_of(learner);
    kind = keep_write(learner->path, buffer_span(&text), 0600, NULL, &why);
    buffer_release(&text);
    return kind == ERROR_NONE ? kind
                              : error_set(error, kind, "in force, but not kept: %s", why.text);
}

static void flush(struct learner *learner)
{
    struct error error;

    if (learner->is_unpushed)
        push(learner);
    if (learner->is_unwritten && learner->path[0] != '\0' && keep(learner, &error) != ERROR_NONE)
        log_error("%s", error.text);
}

static void on_soon(void *owner)
{
    flush(owner);
}

static void changed(struct learner *learner, bool at_once)
{
    learner->is_unpushed = learner->is_unwritten = true;
    learner->is_urgent |= at_once;
    if (learner->is_urgent && !loop_timer_is_set(&learner->next_push))
        push(learner);
    if (!loop_timer_is_set(&learner->soon))
        loop_timer_set(&learner->soon, SOON_MS);
}

static void on_expiry(void *owner)
{
    struct learner *learner = owner;

    if (learned_expire(learner->learned, clock_unix_ms()))
        changed(learner, false);
    loop_timer_set(&learner->expiry, EXPIRY_MS);
}

/* ---- life ---- */

void learner_read_again(struct learner *learner)
{
    struct buffer text = { .limit_bytes = LEARNED_TEXT_BYTES };
    struct error error;
    enum error_kind kind = ERROR_NONE;

    if (learner->path[0] != '\0')
        kind = keep_read(learner->path, &text, &error);
    if (kind == ERROR_NONE && text.size > 0)
        kind = learned_read(learner->learned, buffer_span(&text), &error);
    if (kind != ERROR_NONE)
        keep_put_aside(learner->path, &error, "what was learned before is not in force");
    buffer_release(&text);
    learned_expire(learner->learned, clock_unix_ms());
    push(learner);
}

void learner_hand_over(struct learner *learner)
{
    flush(learner);
    learner->path[0] = '\0';
}

struct learner *learner_new(struct loop *loop, const char *state_dir,
                            void (*push_text)(void *owner, struct span text), void *owner)
{
    struct learner *learner = calloc(1, sizeof *learner);
    int size;

    if (!learner)
        abort(); // out of memory; the master starts another
    learner->loop = loop;
    learner->learned = learned_new();
    learner->push = push_text;
    learner->owner = owner;
    size = snprintf(learner->path, sizeof learner->path, "%s/learned", state_dir);
    if (state_dir[0] == '\0' || size < 0 || (size_t)size >= sizeof learner->path)
        learner->path[0] = '\0';
    loop_timer_init(&learner->soon, loop, on_soon, learner);
    loop_timer_init(&learner->expiry, loop, on_expiry, learner);
    loop_timer_init(&learner->next_push, loop, on_next_push, learner);
    loop_timer_set(&learner->expiry, EXPIRY_MS);
    learner_read_again(learner);
    return learner;
}

void learner_free(struct learner **learner)
{
    struct learner *old = *learner;

    *learner = NULL;
    if (!old)
        return;
    loop_timer_stop(&old->soon);
    loop_timer_stop(&old->expiry);
    loop_timer_stop(&old->next_push);
    old->is_unpushed = false; // there is nobody any more
    flush(old);
    learned_free(&old->learned);
    free(old);
}

/* ---- notes of workers ---- */

static void tell(const struct learned_event *event, const struct learned_outcome *outcome)
{
    static const char *const reasons[LEARNED_KINDS] = {
        [LEARNED_REFUSED] = "its program refused our certificate",
        [LEARNED_CLOSED] = "its program closed after our certificate, three times",
        [LEARNED_CLIENT_CERTIFICATE] = "it wants a certificate of the client",
    };
    struct span client = event->who.user.size > 0 ? event->who.user : event->who.address;
    char name[300], time[OVERVIEW_TIME_BYTES];

    log_text(name, sizeof name, client);
    if (outcome->has_tunnel)
        log_notice("%.*s is passed through for %s, family %016" PRIx64 ", for %s: %s",
                   SPAN_PRINT(event->who.host), name, event->who.family,
                   overview_duration(outcome->tunnel_ms, time), reasons[event->kind]);
    if (outcome->has_ended)
        log_warning("%s is enrolled no more: three hosts were refused within 10 minutes, %.*s "
                    "the last; once it trusts the authority: dejunk ca enrol",
                    log_text(name, sizeof name, span_text(outcome->ended)),
                    SPAN_PRINT(event->who.host));
}

void learner_take_note(struct learner *learner, struct span packet)
{
    struct learned_event event;
    struct learned_outcome outcome;
    struct error error;

    if (learned_decode(&event, packet, &error) != ERROR_NONE) {
        log_error("%s", error.text);
        return;
    }
    learned_note(learner->learned, &event, clock_unix_ms(), &outcome);
    tell(&event, &outcome);
    if (outcome.has_changed)
        changed(learner, outcome.has_tunnel || outcome.has_ended);
}

/* ---- commands ---- */

static enum error_kind publish(struct learner *learner, struct error *error)
{
    push(learner);
    return keep(learner, error);
}

enum error_kind learner_enrol(struct learner *learner, struct span client, uint64_t family,
                              uint64_t until_ms, struct error *error)
{
    enum error_kind kind = learned_enrol(learner->learned, client, family, SPAN("by-hand"),
                                         clock_unix_ms(), until_ms, error);

    return kind == ERROR_NONE ? publish(learner, error) : kind;
}

enum error_kind learner_unenrol(struct learner *learner, struct span client, uint64_t family,
                                struct error *error)
{
    if (learned_unenrol(learner->learned, client, family) == 0)
        return error_set(error, ERROR_SYNTAX, "there is no such enrolment");
    return publish(learner, error);
}

enum error_kind learner_forget(struct learner *learner, struct span host, size_t *count,
                               struct error *error)
{
    *count = learned_forget(learner->learned, host);
    if (*count == 0)
        return error_set(error, ERROR_SYNTAX, "nothing was learned of that host");
    return publish(learner, error);
}

/* ---- what people see ---- */

struct showing {
    struct buffer *out;
    uint64_t now_ms;
    bool is_whole;
};

static void put_family(struct showing *showing, uint64_t family)
{
    if (family == LEARNED_ANY_FAMILY)
        showing->is_whole = showing->is_whole && buffer_append(showing->out, SPAN("any"));
    else
        showing->is_whole = showing->is_whole && buffer_printf(showing->out, "%016" PRIx64, family);
}

static void put_ago(struct showing *showing, const char *word, uint64_t since_ms)
{
    uint64_t ago_ms = showing->now_ms > since_ms ? showing->now_ms - since_ms : 0;
    char time[OVERVIEW_TIME_BYTES];

    showing->is_whole = showing->is_whole && buffer_printf(showing->out, "%s %s ago", word,
                                                           overview_duration(ago_ms, time));
}

static void put_left(struct showing *showing, uint64_t until_ms)
{
    char time[OVERVIEW_TIME_BYTES];

    if (until_ms == LEARNED_ALWAYS)
        showing->is_whole = showing->is_whole && buffer_append(showing->out, SPAN(", for good"));
    else if (until_ms > showing->now_ms)
        showing->is_whole =
            showing->is_whole && buffer_printf(showing->out, ", for %s more",
                                               overview_duration(until_ms - showing->now_ms, time));
    else
        showing->is_whole = showing->is_whole && buffer_append(showing->out, SPAN(", is over"));
}

static void show_enrolment(void *owner, const struct learned_enrolment *enrolment)
{
    struct showing *showing = owner;
    char name[300];

    if (!enrolment->has_ended && enrolment->until_ms <= showing->now_ms)
        return;
    showing->is_whole =
        showing->is_whole &&
        buffer_printf(showing->out, "%s family=", log_text(name, sizeof name, enrolment->client));
    put_family(showing, enrolment->family);
    put_ago(showing, enrolment->has_ended ? " ENDED, enrolled" : " enrolled", enrolment->since_ms);
    showing->is_whole =
        showing->is_whole && buffer_printf(showing->out, " (%.*s)", SPAN_PRINT(enrolment->how));
    if (!enrolment->has_ended)
        put_left(showing, enrolment->until_ms);
    for (size_t i = 0; i < enrolment->refused_count && showing->is_whole; i++)
        showing->is_whole = buffer_printf(
            showing->out, "%s%.*s", i ? ", " : "; refused: ", SPAN_PRINT(enrolment->refused[i]));
    showing->is_whole = showing->is_whole && buffer_append(showing->out, SPAN("\n"));
}

static void show_tunnel(void *owner, const struct learned_tunnel *tunnel)
{
    struct showing *showing = owner;
    char name[300];

    if (tunnel->until_ms <= showing->now_ms)
        return;
    showing->is_whole =
        showing->is_whole &&
        buffer_printf(showing->out, "%.*s client=%s family=%016" PRIx64, SPAN_PRINT(tunnel->host),
                      log_text(name, sizeof name, tunnel->client), tunnel->family);
    showing->is_whole =
        showing->is_whole && buffer_printf(showing->out, " %s", learned_kind_word(tunnel->kind));
    put_ago(showing, "", tunnel->since_ms);
    put_left(showing, tunnel->until_ms);
    showing->is_whole = showing->is_whole && buffer_append(showing->out, SPAN("\n"));
}

bool learner_show_enrolled(const struct learner *learner, struct buffer *out)
{
    struct showing showing = { out, clock_unix_ms(), true };

    learned_visit(learner->learned, &(struct learned_visitor){ show_enrolment, NULL, &showing });
    return showing.is_whole;
}

bool learner_show_tunnels(const struct learner *learner, struct buffer *out)
{
    struct showing showing = { out, clock_unix_ms(), true };

    learned_visit(learner->learned, &(struct learned_visitor){ NULL, show_tunnel, &showing });
    return showing.is_whole;
}

struct learned_counts learner_counts(const struct learner *learner)
{
    return learned_counts(learner->learned, clock_unix_ms());
}
