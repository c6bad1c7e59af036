#include "proxy/learned.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/table.h"
#include "io/address.h"
#include "trust/wire.h"

#define FIRST_LINE "dejunk learned 1"
#define USER "user:"
#define MINUTES(number) (UINT64_C(60000) * (number))
#define DAYS(number) (MINUTES(60) * 24 * (number))

enum { WORDS = 6 + 2 * LEARNED_THIRD };

static const uint64_t level_ms[LEARNED_LEVELS] = { MINUTES(60), DAYS(1), DAYS(30) };
static const uint64_t remembered_ms = DAYS(30); // a tunnel's level, after its end
static const uint64_t shown_ms = DAYS(7);       // an enrolment that was ended

struct moment { // a close, or the refusal of a host
    uint64_t at_ms;
    char *host; // enrolments: owned; closes: NULL
};

struct record {
    struct table_node node;         // first
    struct record *next, *previous; // on its shelf, the one noted longest ago first
    struct span client, host, word; // in text
    uint64_t family, since_ms, until_ms;
    unsigned level;
    enum learned_kind kind;
    size_t moment_count;
    struct moment moments[LEARNED_THIRD];
    char text[];
};

struct shelf {
    struct table by_key;
    struct record *first, *last;
    size_t limit;
};

struct learned {
    struct shelf enrolments, tunnels, closes;
};

struct key {
    struct span client, host;
    uint64_t family;
};

/* ---- shelves ---- */

static uint64_t hash_of(const struct shelf *shelf, const struct key *key)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = table_hash(&shelf->by_key, key->client);

    hash = hash * odd + table_hash(&shelf->by_key, key->host);
    hash = hash * odd + key->family;
    return hash ^ hash >> 29;
}

static bool is_same(const struct table_node *node, const void *what)
{
    const struct record *record = (const struct record *)node;
    const struct key *key = what;

    return record->family == key->family && span_equal(record->client, key->client) &&
           span_equal(record->host, key->host);
}

static struct record *find(const struct shelf *shelf, const struct key *key)
{
    if (shelf->by_key.count == 0)
        return NULL;
    return (struct record *)table_find(&shelf->by_key, hash_of(shelf, key), is_same, key);
}

static void forget_moment(struct record *record, size_t i)
{
    free(record->moments[i].host);
    record->moment_count--;
    for (; i < record->moment_count; i++)
        record->moments[i] = record->moments[i + 1];
}

static void unlink_record(struct shelf *shelf, struct record *record)
{
    *(record->previous ? &record->previous->next : &shelf->first) = record->next;
    *(record->next ? &record->next->previous : &shelf->last) = record->previous;
}

static void link_last(struct shelf *shelf, struct record *record)
{
    record->next = NULL;
    record->previous = shelf->last;
    *(shelf->last ? &shelf->last->next : &shelf->first) = record;
    shelf->last = record;
}

static void drop(struct shelf *shelf, struct record *record)
{
    table_remove(&shelf->by_key, &record->node);
    unlink_record(shelf, record);
    while (record->moment_count > 0)
        forget_moment(record, record->moment_count - 1);
    free(record);
}

static void empty(struct shelf *shelf)
{
    while (shelf->first)
        drop(shelf, shelf->first);
    table_done(&shelf->by_key);
}

/* The oldest makes room: of the same client where that has a quarter of the shelf, so that nobody
 * pushes out all that is known of others. */
static void make_way(struct shelf *shelf, struct span client)
{
    struct record *own = NULL;
    size_t count = 0;

    for (struct record *record = shelf->first; record; record = record->next)
        if (span_equal(record->client, client)) {
            own = own ? own : record;
            count++;
        }
    drop(shelf, count >= shelf->limit / 4 ? own : shelf->first);
}

/* A new record, which there must not be yet. */
static struct record *add(struct shelf *shelf, const struct key *key, struct span word)
{
    struct record *record =
        calloc(1, sizeof *record + key->client.size + key->host.size + word.size);
    char *at;

    if (!record)
        abort(); // out of memory ends the process; the master starts another
    at = record->text;
    record->client = span_keep(&at, key->client);
    record->host = span_keep(&at, key->host);
    record->word = span_keep(&at, word);
    record->family = key->family;
    if (shelf->by_key.count == shelf->limit)
        make_way(shelf, key->client);
    table_add(&shelf->by_key, &record->node, hash_of(shelf, key));
    link_last(shelf, record);
    return record;
}

static void touch(struct shelf *shelf, struct record *record)
{
    unlink_record(shelf, record);
    link_last(shelf, record);
}

struct learned *learned_new(void)
{
    struct learned *learned = calloc(1, sizeof *learned);

    if (!learned)
        abort(); // out of memory ends the process; the master starts another
    learned->enrolments.limit = LEARNED_ENROLMENTS;
    learned->tunnels.limit = LEARNED_TUNNELS;
    learned->closes.limit = LEARNED_CLOSES;
    table_init(&learned->enrolments.by_key);
    table_init(&learned->tunnels.by_key);
    table_init(&learned->closes.by_key);
    return learned;
}

void learned_free(struct learned **learned)
{
    struct learned *old = *learned;

    *learned = NULL;
    if (!old)
        return;
    empty(&old->enrolments);
    empty(&old->tunnels);
    empty(&old->closes);
    free(old);
}

/* ---- names ---- */

static bool is_host(struct span host)
{
    if (host.size == 0 || host.size > LEARNED_HOST_BYTES)
        return false;
    for (size_t i = 0; i < host.size; i++) {
        char c = host.at[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              c == '.' || c == ':'))
            return false;
    }
    return true;
}

static bool is_word(struct span word)
{
    if (word.size == 0 || word.size > LEARNED_HOW_BYTES)
        return false;
    for (size_t i = 0; i < word.size; i++)
        if (!((word.at[i] >= 'a' && word.at[i] <= 'z') || word.at[i] == '-'))
            return false;
    return true;
}

bool learned_read_client(char *to, struct span text)
{
    struct address address;

    if (span_starts(text, SPAN(USER))) {
        if (text.size == strlen(USER) || text.size > LEARNED_CLIENT_BYTES)
            return false;
        for (size_t i = strlen(USER); i < text.size; i++)
            if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f || text.at[i] == ':')
                return false;
        memcpy(to, text.at, text.size);
        to[text.size] = '\0';
        return true;
    }
    if (!address_parse(&address, text, 0))
        return false;
    address = address_unwrap(&address);
    address_text(&address, to);
    return true;
}

/* A program is its user's, where there is one, else its address's. Empty: nobody's. */
static struct span client_of(char to[LEARNED_CLIENT_BYTES + 1], const struct learned_who *who)
{
    if (who->user.size == 0)
        return who->address.size <= LEARNED_CLIENT_BYTES ? who->address : SPAN_NONE;
    if (who->user.size > LEARNED_CLIENT_BYTES - strlen(USER))
        return SPAN_NONE;
    memcpy(to, USER, strlen(USER));
    memcpy(to + strlen(USER), who->user.at, who->user.size);
    return span_of(to, strlen(USER) + who->user.size);
}

/* ---- questions ---- */

static bool has_ended(const struct record *enrolment)
{
    return enrolment->moment_count == LEARNED_THIRD;
}

static bool is_in_force(const struct record *enrolment, uint64_t now_ms)
{
    return enrolment && !has_ended(enrolment) && now_ms < enrolment->until_ms;
}

enum { MOST_ENROLMENTS = 4 }; // of a user and of an address, for a family and for any

/* Those in force for this program. */
static size_t enrolments_of(const struct learned *learned, const struct learned_who *who,
                            uint64_t now_ms, struct record *found[MOST_ENROLMENTS])
{
    char room[LEARNED_CLIENT_BYTES + 1];
    const struct span clients[] = { who->user.size ? client_of(room, who) : SPAN_NONE,
                                    who->address };
    const uint64_t families[] = { LEARNED_ANY_FAMILY, who->family };
    size_t count = 0;

    for (size_t c = 0; c < 2; c++)
        for (size_t f = 0; f < 2 && clients[c].size > 0; f++) {
            const struct key key = { .client = clients[c], .family = families[f] };
            struct record *record = find(&learned->enrolments, &key);

            if (f == 1 && families[1] == families[0])
                break;
            if (is_in_force(record, now_ms))
                found[count++] = record;
        }
    return count;
}

/* Whatever the family. */
static bool has_any(const struct learned *learned, struct span client, uint64_t now_ms)
{
    for (const struct record *record = learned->enrolments.first; record && client.size > 0;
         record = record->next)
        if (span_equal(record->client, client) && is_in_force(record, now_ms))
            return true;
    return false;
}

bool learned_is_enrolled(const struct learned *learned, const struct learned_who *who,
                         uint64_t now_ms)
{
    struct record *found[MOST_ENROLMENTS];
    char room[LEARNED_CLIENT_BYTES + 1];

    if (learned->enrolments.by_key.count == 0)
        return false;
    if (enrolments_of(learned, who, now_ms, found) > 0)
        return true;
    if (who->family != LEARNED_ANY_FAMILY)
        return false;
    return has_any(learned, who->address, now_ms) ||
           (who->user.size > 0 && has_any(learned, client_of(room, who), now_ms));
}

static struct key key_of(const struct learned_who *who, char room[LEARNED_CLIENT_BYTES + 1])
{
    return (struct key){ client_of(room, who), who->host, who->family };
}

bool learned_has_tunnel(const struct learned *learned, const struct learned_who *who,
                        uint64_t now_ms)
{
    char room[LEARNED_CLIENT_BYTES + 1];
    struct key key;
    const struct record *record;

    if (learned->tunnels.by_key.count == 0)
        return false;
    key = key_of(who, room);
    record = find(&learned->tunnels, &key);
    return record && now_ms < record->until_ms;
}

/* ---- what happens ---- */

const char *learned_kind_word(enum learned_kind kind)
{
    static const char *const words[LEARNED_KINDS] = {
        [LEARNED_REFUSED] = "refused",
        [LEARNED_CLOSED] = "closed",
        [LEARNED_ACCEPTED] = "accepted",
        [LEARNED_CLIENT_CERTIFICATE] = "client-certificate",
    };

    return (unsigned)kind < LEARNED_KINDS ? words[kind] : "unknown";
}

/* Moments of the future, which a clock that was set back leaves, count as old. */
static void forget_old(struct record *record, uint64_t now_ms)
{
    for (size_t i = record->moment_count; i > 0; i--) {
        uint64_t at_ms = record->moments[i - 1].at_ms;

        if (at_ms > now_ms || now_ms - at_ms >= LEARNED_WINDOW_MS)
            forget_moment(record, i - 1);
    }
}

/* One in force is left as it is: a browser opens several connections at a time. */
static void learn_tunnel(struct learned *learned, const struct key *key, enum learned_kind kind,
                         uint64_t now_ms, struct learned_outcome *outcome)
{
    struct record *tunnel = find(&learned->tunnels, key);

    if (tunnel && now_ms < tunnel->until_ms)
        return;
    if (!tunnel) {
        tunnel = add(&learned->tunnels, key, SPAN_NONE);
    } else {
        if (tunnel->level + 1 < LEARNED_LEVELS)
            tunnel->level++;
        touch(&learned->tunnels, tunnel);
    }
    tunnel->kind = kind;
    tunnel->since_ms = now_ms;
    tunnel->until_ms = now_ms + level_ms[tunnel->level];
    outcome->has_changed = outcome->has_tunnel = true;
    outcome->tunnel_ms = level_ms[tunnel->level];
}

static void count_refusal(struct record *enrolment, struct span host, uint64_t now_ms,
                          struct learned_outcome *outcome)
{
    struct moment *moment;

    forget_old(enrolment, now_ms);
    for (size_t i = 0; i < enrolment->moment_count; i++)
        if (span_equal(span_text(enrolment->moments[i].host), host))
            return;
    moment = &enrolment->moments[enrolment->moment_count++];
    moment->at_ms = now_ms;
    moment->host = strndup(host.at, host.size);
    if (!moment->host)
        abort(); // out of memory ends the process; the master starts another
    outcome->has_changed = true;
    if (!has_ended(enrolment))
        return;
    outcome->has_ended = true;
    snprintf(outcome->ended, sizeof outcome->ended, "%.*s", SPAN_PRINT(enrolment->client));
}

static void count_refusals(struct learned *learned, const struct learned_event *event,
                           uint64_t now_ms, struct learned_outcome *outcome)
{
    struct record *found[MOST_ENROLMENTS];
    size_t count = enrolments_of(learned, &event->who, now_ms, found);

    for (size_t i = 0; i < count; i++)
        count_refusal(found[i], event->who.host, now_ms, outcome);
}

static void forget_closes(struct learned *learned, const struct key *key,
                          struct learned_outcome *outcome)
{
    struct record *closes = find(&learned->closes, key);

    if (!closes)
        return;
    drop(&learned->closes, closes);
    outcome->has_changed = true;
}

static void note_refused(struct learned *learned, const struct learned_event *event,
                         const struct key *key, uint64_t now_ms, struct learned_outcome *outcome)
{
    forget_closes(learned, key, outcome);
    if (!event->is_blocked)
        learn_tunnel(learned, key, event->kind, now_ms, outcome);
    count_refusals(learned, event, now_ms, outcome);
}

static void note_closed(struct learned *learned, const struct learned_event *event,
                        const struct key *key, uint64_t now_ms, struct learned_outcome *outcome)
{
    struct record *closes;

    if (event->is_blocked) // it is closed for having got nothing, too
        return;
    closes = find(&learned->closes, key);
    if (closes)
        touch(&learned->closes, closes);
    else
        closes = add(&learned->closes, key, SPAN_NONE);
    forget_old(closes, now_ms);
    closes->moments[closes->moment_count++] = (struct moment){ .at_ms = now_ms };
    outcome->has_changed = true;
    if (closes->moment_count == LEARNED_THIRD)
        note_refused(learned, event, key, now_ms, outcome);
}

static void note_accepted(struct learned *learned, const struct learned_event *event,
                          const struct key *key, uint64_t now_ms, struct learned_outcome *outcome)
{
    struct record *found[MOST_ENROLMENTS], *tunnel = find(&learned->tunnels, key);
    size_t count = enrolments_of(learned, &event->who, now_ms, found);

    forget_closes(learned, key, outcome);
    if (tunnel && (tunnel->kind == LEARNED_CLOSED ||
                   (now_ms >= tunnel->until_ms && tunnel->kind == LEARNED_REFUSED))) {
        drop(&learned->tunnels, tunnel);
        outcome->has_changed = true;
    }
    for (size_t i = 0; i < count; i++)
        while (found[i]->moment_count > 0) {
            forget_moment(found[i], found[i]->moment_count - 1);
            outcome->has_changed = true;
        }
}

void learned_note(struct learned *learned, const struct learned_event *event, uint64_t now_ms,
                  struct learned_outcome *outcome)
{
    char room[LEARNED_CLIENT_BYTES + 1], spelled[LEARNED_CLIENT_BYTES + 1];
    const struct key key = key_of(&event->who, room);

    *outcome = (struct learned_outcome){ .has_changed = false };
    // A worker's word: what is noted must have a text that is taken again.
    if (!learned_read_client(spelled, key.client) || !span_equal(span_text(spelled), key.client) ||
        !is_host(key.host) || key.family == LEARNED_ANY_FAMILY)
        return;
    switch (event->kind) {
    case LEARNED_REFUSED:
        note_refused(learned, event, &key, now_ms, outcome);
        break;
    case LEARNED_CLOSED:
        note_closed(learned, event, &key, now_ms, outcome);
        break;
    case LEARNED_ACCEPTED:
        note_accepted(learned, event, &key, now_ms, outcome);
        break;
    case LEARNED_CLIENT_CERTIFICATE:
        if (!event->is_blocked)
            learn_tunnel(learned, &key, event->kind, now_ms, outcome);
        break;
    case LEARNED_KINDS:
        break;
    }
}

/* ---- what people do ---- */

static bool make_room(struct shelf *enrolments)
{
    struct record *record = enrolments->first;

    if (enrolments->by_key.count < enrolments->limit)
        return true;
    while (record && !has_ended(record))
        record = record->next;
    if (record)
        drop(enrolments, record);
    return record != NULL;
}

enum error_kind learned_enrol(struct learned *learned, struct span client, uint64_t family,
                              struct span how, uint64_t now_ms, uint64_t until_ms,
                              struct error *error)
{
    char name[LEARNED_CLIENT_BYTES + 1], text[80];
    struct key key = { .family = family };
    struct record *record;

    if (!learned_read_client(name, client))
        return error_set(error, ERROR_SYNTAX, "\"%s\" is no address and no user",
                         log_text(text, sizeof text, client));
    if (!is_word(how))
        return error_set(error, ERROR_SYNTAX, "an enrolment of an odd kind");
    key.client = span_text(name);
    record = find(&learned->enrolments, &key);
    if (record)
        drop(&learned->enrolments, record);
    else if (!make_room(&learned->enrolments))
        return error_set(error, ERROR_LIMIT, "there are %d enrolments already", LEARNED_ENROLMENTS);
    record = add(&learned->enrolments, &key, how);
    record->since_ms = now_ms;
    record->until_ms = until_ms;
    return ERROR_NONE;
}

size_t learned_unenrol(struct learned *learned, struct span client, uint64_t family)
{
    char name[LEARNED_CLIENT_BYTES + 1];
    struct record *next;
    size_t count = 0;

    if (!learned_read_client(name, client))
        return 0;
    for (struct record *record = learned->enrolments.first; record; record = next) {
        next = record->next;
        if (!span_equal(record->client, span_text(name)) ||
            (family != LEARNED_ANY_FAMILY && record->family != family))
            continue;
        drop(&learned->enrolments, record);
        count++;
    }
    return count;
}

static size_t forget_host(struct shelf *shelf, struct span host)
{
    struct record *next;
    size_t count = 0;

    for (struct record *record = shelf->first; record; record = next) {
        next = record->next;
        if (!span_equal(record->host, host))
            continue;
        drop(shelf, record);
        count++;
    }
    return count;
}

size_t learned_forget(struct learned *learned, struct span host)
{
    forget_host(&learned->closes, host);
    return forget_host(&learned->tunnels, host);
}

/* ---- what is there ---- */

void learned_visit(const struct learned *learned, const struct learned_visitor *visitor)
{
    for (const struct record *record = learned->enrolments.first; record && visitor->on_enrolment;
         record = record->next) {
        struct learned_enrolment enrolment = { .client = record->client,
                                               .family = record->family,
                                               .since_ms = record->since_ms,
                                               .until_ms = record->until_ms,
                                               .how = record->word,
                                               .has_ended = has_ended(record),
                                               .refused_count = record->moment_count };

        for (size_t i = 0; i < record->moment_count; i++) {
            enrolment.refused[i] = span_text(record->moments[i].host);
            enrolment.refused_ms[i] = record->moments[i].at_ms;
        }
        visitor->on_enrolment(visitor->owner, &enrolment);
    }
    for (const struct record *record = learned->tunnels.first; record && visitor->on_tunnel;
         record = record->next) {
        const struct learned_tunnel tunnel = { record->client,   record->host,     record->family,
                                               record->since_ms, record->until_ms, record->level,
                                               record->kind };

        visitor->on_tunnel(visitor->owner, &tunnel);
    }
}

struct learned_counts learned_counts(const struct learned *learned, uint64_t now_ms)
{
    struct learned_counts counts = { .closes = learned->closes.by_key.count };

    for (const struct record *record = learned->enrolments.first; record; record = record->next) {
        counts.enrolments += is_in_force(record, now_ms);
        counts.ended += has_ended(record);
    }
    for (const struct record *record = learned->tunnels.first; record; record = record->next)
        counts.tunnels += now_ms < record->until_ms;
    return counts;
}

static bool is_spent_enrolment(struct record *record, uint64_t now_ms)
{
    const uint64_t last_ms = record->moments[LEARNED_THIRD - 1].at_ms;

    if (has_ended(record))
        return now_ms >= last_ms && now_ms - last_ms >= shown_ms;
    return now_ms >= record->until_ms;
}

static bool is_spent_tunnel(struct record *record, uint64_t now_ms)
{
    return now_ms >= record->until_ms && now_ms - record->until_ms >= remembered_ms;
}

static bool is_spent_close(struct record *record, uint64_t now_ms)
{
    forget_old(record, now_ms);
    return record->moment_count == 0;
}

static bool expire(struct shelf *shelf, bool (*is_spent)(struct record *, uint64_t),
                   uint64_t now_ms)
{
    struct record *next;
    bool has_changed = false;

    for (struct record *record = shelf->first; record; record = next) {
        next = record->next;
        if (!is_spent(record, now_ms))
            continue;
        drop(shelf, record);
        has_changed = true;
    }
    return has_changed;
}

bool learned_expire(struct learned *learned, uint64_t now_ms)
{
    bool has_changed = expire(&learned->enrolments, is_spent_enrolment, now_ms);

    has_changed |= expire(&learned->tunnels, is_spent_tunnel, now_ms);
    return expire(&learned->closes, is_spent_close, now_ms) || has_changed;
}

/* ---- text ---- */

/* User names may hold blanks and bytes of any script. */
static bool put_client(struct buffer *out, struct span client)
{
    bool is_whole = true;

    for (size_t i = 0; i < client.size && is_whole; i++) {
        unsigned char c = (unsigned char)client.at[i];

        if (c <= ' ' || c == '%' || c >= 0x7f)
            is_whole = buffer_printf(out, "%%%02x", c);
        else
            is_whole = buffer_append(out, span_of(client.at + i, 1));
    }
    return is_whole;
}

static bool put_time(struct buffer *out, uint64_t ms)
{
    return ms == LEARNED_ALWAYS ? buffer_append(out, SPAN(" always"))
                                : buffer_printf(out, " %" PRIu64, ms);
}

static bool put_enrolment(struct buffer *out, const struct record *record)
{
    bool is_whole = buffer_append(out, SPAN("enrolled ")) && put_client(out, record->client);

    if (record->family == LEARNED_ANY_FAMILY)
        is_whole = is_whole && buffer_append(out, SPAN(" any"));
    else
        is_whole = is_whole && buffer_printf(out, " %016" PRIx64, record->family);
    is_whole = is_whole && put_time(out, record->since_ms) && put_time(out, record->until_ms) &&
               buffer_printf(out, " %.*s", SPAN_PRINT(record->word));
    for (size_t i = 0; i < record->moment_count && is_whole; i++)
        is_whole = buffer_printf(out, " %s", record->moments[i].host) &&
                   put_time(out, record->moments[i].at_ms);
    return is_whole && buffer_append(out, SPAN("\n"));
}

static bool put_program(struct buffer *out, const char *what, const struct record *record)
{
    return buffer_printf(out, "%s ", what) && put_client(out, record->client) &&
           buffer_printf(out, " %016" PRIx64 " %.*s", record->family, SPAN_PRINT(record->host));
}

static bool put_tunnel(struct buffer *out, const struct record *record)
{
    return put_program(out, "tunnel", record) && put_time(out, record->since_ms) &&
           put_time(out, record->until_ms) &&
           buffer_printf(out, " %u %s\n", record->level, learned_kind_word(record->kind));
}

static bool put_closes(struct buffer *out, const struct record *record)
{
    bool is_whole = put_program(out, "closed", record);

    for (size_t i = 0; i < record->moment_count && is_whole; i++)
        is_whole = put_time(out, record->moments[i].at_ms);
    return is_whole && buffer_append(out, SPAN("\n"));
}

bool learned_write(const struct learned *learned, struct buffer *out)
{
    static bool (*const puts[])(struct buffer *,
                                const struct record *) = { put_enrolment, put_tunnel, put_closes };
    const struct shelf *const shelves[] = { &learned->enrolments, &learned->tunnels,
                                            &learned->closes };
    size_t from = out->size, count = 0;
    bool is_whole = buffer_append(out, SPAN(FIRST_LINE "\n"));

    for (size_t i = 0; i < sizeof shelves / sizeof *shelves; i++)
        for (const struct record *record = shelves[i]->first; record && is_whole;
             record = record->next, count++)
            is_whole = puts[i](out, record);
    is_whole = is_whole && buffer_printf(out, "end %zu\n", count);
    if (!is_whole)
        out->size = from;
    return is_whole;
}

struct line { // its words
    struct span words[WORDS];
    size_t count;
    char client[LEARNED_CLIENT_BYTES + 1];
    struct key key;
};

static bool split(struct line *out, struct span line)
{
    out->count = 0;
    for (;;) {
        size_t blank = span_find_byte(line, ' ');

        if (blank == 0 || out->count == WORDS)
            return false;
        out->words[out->count++] = span_slice(line, 0, blank);
        if (blank == line.size)
            return true;
        line = span_from(line, blank + 1);
    }
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_client(struct line *line, struct span word)
{
    char text[LEARNED_CLIENT_BYTES];
    size_t size = 0;

    for (size_t i = 0; i < word.size; i++) {
        char c = word.at[i];

        if (c == '%') {
            if (word.size - i < 3 || digit(word.at[i + 1]) < 0 || digit(word.at[i + 2]) < 0)
                return false;
            c = (char)(digit(word.at[i + 1]) << 4 | digit(word.at[i + 2]));
            i += 2;
        }
        if (size == sizeof text)
            return false;
        text[size++] = c;
    }
    if (!learned_read_client(line->client, span_of(text, size)))
        return false;
    line->key.client = span_text(line->client);
    return span_equal(line->key.client, span_of(text, size)); // in its one spelling
}

static bool take_family(uint64_t *family, struct span word)
{
    *family = 0;
    if (word.size != 16)
        return false;
    for (size_t i = 0; i < word.size; i++) {
        if (digit(word.at[i]) < 0)
            return false;
        *family = *family << 4 | (uint64_t)digit(word.at[i]);
    }
    return *family != LEARNED_ANY_FAMILY;
}

static bool take_time(uint64_t *ms, struct span word)
{
    if (span_equal(word, SPAN("always"))) {
        *ms = LEARNED_ALWAYS;
        return true;
    }
    return span_to_u64(word, ms) && *ms <= INT64_MAX;
}

static bool take_moment(uint64_t *ms, struct span word)
{
    return take_time(ms, word) && *ms != LEARNED_ALWAYS;
}

/* A record for the line's key, unless there is one or the shelf is full. */
static struct record *take_record(struct shelf *shelf, const struct line *line, struct span word)
{
    if (find(shelf, &line->key) || shelf->by_key.count == shelf->limit)
        return NULL;
    return add(shelf, &line->key, word);
}

static bool read_enrolment(struct learned *learned, struct line *line)
{
    const struct span *words = line->words;
    struct record *record;

    if (line->count < 6 || line->count % 2 != 0 || !take_client(line, words[1]) ||
        (!span_equal(words[2], SPAN("any")) && !take_family(&line->key.family, words[2])) ||
        !is_word(words[5]))
        return false;
    record = take_record(&learned->enrolments, line, words[5]);
    if (!record || !take_moment(&record->since_ms, words[3]) ||
        !take_time(&record->until_ms, words[4]))
        return false;
    for (size_t i = 6; i < line->count; i += 2) {
        struct moment *moment = &record->moments[record->moment_count];

        if (!is_host(words[i]) || !take_moment(&moment->at_ms, words[i + 1]))
            return false;
        moment->host = strndup(words[i].at, words[i].size);
        if (!moment->host)
            abort(); // out of memory ends the process; the master starts another
        record->moment_count++;
    }
    return true;
}

static bool take_program(struct line *line)
{
    line->key.host = line->words[3];
    return take_client(line, line->words[1]) && take_family(&line->key.family, line->words[2]) &&
           is_host(line->key.host);
}

static bool read_tunnel(struct learned *learned, struct line *line)
{
    const struct span *words = line->words;
    struct record *record;
    uint64_t level;
    unsigned kind = 0;

    if (line->count != 8 || !take_program(line) || !span_to_u64(words[6], &level) ||
        level >= LEARNED_LEVELS)
        return false;
    while (kind < LEARNED_KINDS && !span_equal(words[7], span_text(learned_kind_word(kind))))
        kind++;
    if (kind == LEARNED_KINDS || kind == LEARNED_ACCEPTED)
        return false;
    record = take_record(&learned->tunnels, line, SPAN_NONE);
    if (!record)
        return false;
    record->level = (unsigned)level;
    record->kind = (enum learned_kind)kind;
    return take_moment(&record->since_ms, words[4]) && take_moment(&record->until_ms, words[5]);
}

static bool read_closes(struct learned *learned, struct line *line)
{
    struct record *record;

    if (line->count < 4 || line->count >= 4 + LEARNED_THIRD || !take_program(line))
        return false;
    record = take_record(&learned->closes, line, SPAN_NONE);
    for (size_t i = 4; record && i < line->count; i++)
        if (!take_moment(&record->moments[record->moment_count++].at_ms, line->words[i]))
            return false;
    return record != NULL;
}

static bool read_line(struct learned *learned, struct span text)
{
    struct line line = { .count = 0 };

    if (!split(&line, text))
        return false;
    if (span_equal(line.words[0], SPAN("enrolled")))
        return read_enrolment(learned, &line);
    if (span_equal(line.words[0], SPAN("tunnel")))
        return read_tunnel(learned, &line);
    return span_equal(line.words[0], SPAN("closed")) && read_closes(learned, &line);
}

/* Cuts off a line, which must have its end. */
static bool cut_line(struct span *text, struct span *line)
{
    size_t end = span_find_byte(*text, '\n');

    if (end == text->size)
        return false;
    *line = span_slice(*text, 0, end);
    *text = span_from(*text, end + 1);
    return true;
}

static enum error_kind read_all(struct learned *learned, struct span text, struct error *error)
{
    struct span line;
    uint64_t count;
    size_t number = 1;

    if (text.size > LEARNED_TEXT_BYTES)
        return error_set(error, ERROR_LIMIT, "more than %d bytes of what was learned",
                         LEARNED_TEXT_BYTES);
    if (!cut_line(&text, &line) || !span_equal(line, SPAN(FIRST_LINE)))
        return error_set(error, ERROR_SYNTAX, "not what was learned, of this version");
    for (; cut_line(&text, &line); number++) {
        if (span_starts(line, SPAN("end "))) {
            if (!span_to_u64(span_from(line, 4), &count) || count != number - 1 || text.size > 0)
                break;
            return ERROR_NONE;
        }
        if (!read_line(learned, line))
            return error_set(error, ERROR_SYNTAX, "line %zu of what was learned breaks a rule",
                             number + 1);
    }
    return error_set(error, ERROR_SYNTAX, "what was learned has no end");
}

enum error_kind learned_read(struct learned *learned, struct span text, struct error *error)
{
    struct learned *read = learned_new();
    enum error_kind kind = read_all(read, text, error);

    if (kind == ERROR_NONE) {
        struct learned old = *learned;

        *learned = *read;
        *read = old;
    }
    learned_free(&read);
    return kind;
}

/* ---- packets ---- */

/*     "djl1" | kind 1 | is_blocked 1 | family 8 | three times: size 2, bytes */
static const char magic[4] = { 'd', 'j', 'l', '1' };

static char *put_number(char *to, uint64_t number, size_t width)
{
    for (size_t i = 0; i < width; i++)
        to[i] = (char)(number >> 8 * (width - 1 - i));
    return to + width;
}

size_t learned_encode(char *to, const struct learned_event *event)
{
    const struct span texts[] = { event->who.address, event->who.user, event->who.host };
    char *at = to;

    _Static_assert(sizeof magic + 10 + 6 + 2 * LEARNED_CLIENT_BYTES + LEARNED_HOST_BYTES <=
                       LEARNED_PACKET_BYTES,
                   "the longest event fits");
    if (event->who.address.size > LEARNED_CLIENT_BYTES ||
        event->who.user.size > LEARNED_CLIENT_BYTES || event->who.host.size > LEARNED_HOST_BYTES)
        return 0;
    memcpy(at, magic, sizeof magic);
    at = put_number(at + sizeof magic, event->kind, 1);
    at = put_number(at, event->is_blocked, 1);
    at = put_number(at, event->who.family, 8);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        at = put_number(at, texts[i].size, 2);
        span_keep(&at, texts[i]);
    }
    return (size_t)(at - to);
}

enum error_kind learned_decode(struct learned_event *out, struct span packet, struct error *error)
{
    struct wire wire = { .left = packet };
    struct learned_event event = { .is_blocked = false };
    bool is_good = span_equal(wire_take(&wire, sizeof magic), span_of(magic, sizeof magic));
    uint32_t kind = wire_number(&wire, 1), is_blocked = wire_number(&wire, 1);

    event.who.family = (uint64_t)wire_number(&wire, 4) << 32;
    event.who.family |= wire_number(&wire, 4);
    event.who.address = wire_vector(&wire, 2);
    event.who.user = wire_vector(&wire, 2);
    event.who.host = wire_vector(&wire, 2);
    if (!is_good || wire.is_short || wire.left.size > 0 || kind >= LEARNED_KINDS ||
        is_blocked > 1 || event.who.address.size > LEARNED_CLIENT_BYTES ||
        event.who.user.size > LEARNED_CLIENT_BYTES || event.who.host.size > LEARNED_HOST_BYTES)
        return error_set(error, ERROR_SYNTAX, "a malformed note of a handshake, of %zu bytes",
                         packet.size);
    event.kind = (enum learned_kind)kind;
    event.is_blocked = is_blocked;
    *out = event;
    return ERROR_NONE;
}
