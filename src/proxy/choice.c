#include "proxy/choice.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/table.h"
#include "proxy/passes.h"

enum { LIST_HOSTS = 100000, HOST_BYTES = 253 };

struct listed {
    struct table_node node; // first
    struct span host;       // in text
    char text[];
};

struct choice {
    const struct proxy_seams *seams; // borrowed
    struct learned *learned;
    struct table list;
};

struct choice *choice_new(const struct proxy_seams *seams)
{
    struct choice *choice = calloc(1, sizeof *choice);

    if (!choice)
        abort(); // out of memory ends the worker; the master starts another
    choice->seams = seams;
    choice->learned = learned_new();
    table_init(&choice->list);
    return choice;
}

static void drop(struct table_node *node, void *owner)
{
    table_remove(owner, node);
    free(node);
}

void choice_free(struct choice **choice)
{
    if (!*choice)
        return;
    learned_free(&(*choice)->learned);
    table_visit(&(*choice)->list, drop, &(*choice)->list);
    table_done(&(*choice)->list);
    free(*choice);
    *choice = NULL;
}

/* ---- the list ---- */

static bool is_same(const struct table_node *node, const void *host)
{
    return span_equal(((const struct listed *)node)->host, *(const struct span *)host);
}

static bool has(const struct table *list, struct span host)
{
    return table_find(list, table_hash(list, host), is_same, &host) != NULL;
}

static void add(struct table *list, struct span host)
{
    struct listed *listed = calloc(1, sizeof *listed + host.size);

    if (!listed)
        abort(); // out of memory ends the worker; the master starts another
    for (size_t i = 0; i < host.size; i++)
        listed->text[i] = ascii_lower(host.at[i]);
    listed->host = span_of(listed->text, host.size);
    if (has(list, listed->host)) {
        free(listed);
        return;
    }
    table_add(list, &listed->node, table_hash(list, listed->host));
}

static bool is_host(struct span text)
{
    if (text.size == 0 || text.size > HOST_BYTES)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = ascii_lower(text.at[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              c == '.' || c == ':'))
            return false;
    }
    return true;
}

void choice_set_list(struct choice *choice, struct span text)
{
    table_visit(&choice->list, drop, &choice->list);
    while (text.size > 0) {
        size_t end = span_find_byte(text, '\n');
        struct span line = span_slice(text, 0, end);

        text = end == text.size ? SPAN_NONE : span_from(text, end + 1);
        line.size = span_find_byte(line, '#');
        if (line.size > 0 && line.at[line.size - 1] == '\r')
            line.size--;
        line = span_trim(line);
        if (span_starts(line, SPAN("*.")))
            line = span_from(line, 2);
        if (is_host(line) && choice->list.count < LIST_HOSTS)
            add(&choice->list, line);
    }
}

/* The host, or one above it. */
static bool is_listed(const struct choice *choice, struct span host)
{
    while (host.size > 0 && choice->list.count > 0) {
        size_t dot = span_find_byte(host, '.');

        if (has(&choice->list, host))
            return true;
        if (dot == host.size)
            break;
        host = span_from(host, dot + 1);
    }
    return false;
}

/* ---- questions ---- */

const char *choice_word(enum choice_answer answer)
{
    static const char *const words[] = {
#define CHOICE_WORD(id, word) word,
        CHOICE_ANSWERS(CHOICE_WORD)
#undef CHOICE_WORD
    };

    return (size_t)answer < sizeof words / sizeof *words ? words[answer] : "unknown";
}

static bool client_is(const struct config_client *section, const struct choice_question *question)
{
    struct address_range range;

    if (question->user.size > 0 && span_equal(section->match, question->user))
        return true;
    return address_range_parse(&range, section->match) &&
           address_range_has(&range, question->client);
}

/* Sections in their order, the last that says something wins; clients after sites. */
static enum config_switch ask_sections(const struct choice_question *question)
{
    const struct config *config = question->settings->config;
    enum config_switch said = SWITCH_UNSET;

    for (size_t i = 0; i < config->site_count; i++)
        if (config->sites[i].intercept != SWITCH_UNSET &&
            span_matches_wildcard(question->host, config->sites[i].pattern))
            said = config->sites[i].intercept;
    for (size_t i = 0; i < config->client_count; i++)
        if (config->clients[i].intercept != SWITCH_UNSET &&
            client_is(&config->clients[i], question))
            said = config->clients[i].intercept;
    return said;
}

static struct learned_who who_of(const struct choice_question *question,
                                 char text[ADDRESS_TEXT_BYTES])
{
    const struct address bare = address_unwrap(question->client);
    struct learned_who who = { .user = question->user,
                               .family = question->family,
                               .host = question->host };

    who.address = span_text(address_text(&bare, text));
    return who;
}

/* A site section that says yes is stronger than the list, because somebody wrote it here; but it
 * enrols nobody. */
enum choice_answer choice_ask(struct choice *choice, const struct choice_question *question)
{
    const struct config *config = question->settings->config;
    char text[ADDRESS_TEXT_BYTES];
    struct learned_who who;
    enum config_switch said;
    uint64_t now_ms;

    if (config->intercept == INTERCEPT_NONE)
        return CHOICE_OFF;
    said = ask_sections(question);
    if (said == SWITCH_NO)
        return CHOICE_SITE;
    if (said == SWITCH_UNSET && is_listed(choice, question->host))
        return CHOICE_LIST;
    now_ms = clock_unix_ms();
    who = who_of(question, text);
    if (config->intercept == INTERCEPT_ENROLLED &&
        !learned_is_enrolled(choice->learned, &who, now_ms))
        return CHOICE_NOT_ENROLLED;
    if (question->family != LEARNED_ANY_FAMILY && learned_has_tunnel(choice->learned, &who, now_ms))
        return CHOICE_LEARNED;
    return CHOICE_INTERCEPT;
}

/* ---- what happened ---- */

void choice_note(struct choice *choice, const struct choice_question *question,
                 enum learned_kind kind, bool is_blocked)
{
    char text[ADDRESS_TEXT_BYTES];
    const struct learned_event event = { .kind = kind,
                                         .is_blocked = is_blocked,
                                         .who = who_of(question, text) };
    struct learned_outcome outcome;

    learned_note(choice->learned, &event, clock_unix_ms(), &outcome);
    if (outcome.has_changed && choice->seams->tell_learned)
        choice->seams->tell_learned(choice->seams->owner, &event);
}

enum error_kind choice_set_learned(struct choice *choice, struct span text, struct error *error)
{
    return learned_read(choice->learned, text, error);
}
