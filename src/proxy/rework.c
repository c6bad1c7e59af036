#include "proxy/rework.h"

#include <xxhash.h>

#include "base/log.h"
#include "html/sniff.h"

enum {
    ENCODE_FROM_BYTES = 1024, // what is known to be shorter is not worth it
    RULE_TEXT_BYTES = 300,
};

/* ---- generations ---- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t size)
{
    return XXH3_64bits_withSeed(bytes, size, hash);
}

static uint64_t mix_number(uint64_t hash, uint64_t number)
{
    return mix(hash, &number, sizeof number);
}

/* Field by field: it is the same in every process, wherever things are in its memory. */
static uint64_t mix_config(uint64_t hash, const struct config *config)
{
    hash = mix_number(hash, config->filter);
    hash = mix_number(hash, config->gpc);
    hash = mix_number(hash, config->strip);
    hash = mix_number(hash, config->remove_blocked);
    hash = mix_number(hash, config->site_count);
    for (size_t i = 0; i < config->site_count; i++) {
        const struct config_site *site = &config->sites[i];

        hash = mix(hash, site->pattern.at, site->pattern.size);
        hash = mix_number(hash, site->filter);
        hash = mix_number(hash, site->intercept);
        hash = mix_number(hash, site->gpc);
        hash = mix_number(hash, site->strip);
        hash = mix_number(hash, site->remove_blocked);
    }
    for (size_t i = 0; i < config->client_count; i++) {
        const struct config_client *client = &config->clients[i];

        hash = mix(hash, client->match.at, client->match.size);
        hash = mix_number(hash, client->filter);
        hash = mix_number(hash, client->intercept);
        hash = mix_number(hash, client->gpc);
    }
    return hash;
}

/* Of all that decides what becomes of a body, beside the body. */
static uint64_t generation_of(struct proxy *proxy, const struct settings *settings)
{
    struct proxy_generation *known = &proxy->generation;
    struct database *database = judge_database(proxy->judge);
    uint64_t rules = database ? database_generation(database) : 0, page = page_edit_generation();
    uint64_t hash = 0;

    if (known->of_settings == settings->number && known->of_rules == rules && known->value)
        return known->value;
    hash = mix(hash, DEJUNK_VERSION, sizeof DEJUNK_VERSION);
    hash = mix_number(hash, rules);
    hash = mix_number(hash, page);
    hash = mix_config(hash, settings->config);
    *known = (struct proxy_generation){ hash, settings->number, rules };
    return hash;
}

/* As this site sees it, and no other. */
static uint64_t generation_here(const struct rework *r)
{
    return secret_mark(&r->proxy->secret, "etag", r->file.target->host, r->generation).high;
}

/* ---- Accept-Encoding ---- */

/* "gzip;q=0.5" -> its name; *is_zero: not acceptable. */
static struct span name_of(struct span element, bool *is_zero)
{
    size_t end = span_find_byte(element, ';');
    struct span rest = end < element.size ? span_trim(span_from(element, end + 1)) : SPAN_NONE;

    *is_zero = span_starts_nocase(rest, SPAN("q="));
    for (size_t i = 2; *is_zero && i < rest.size; i++)
        *is_zero = rest.at[i] == '0' || rest.at[i] == '.';
    return span_trim(span_slice(element, 0, end));
}

/* RFC 9110 section 12.5.3: what is not named is as "*" says, and identity is fine otherwise. */
static bool accepts(struct span list, struct span name, bool otherwise)
{
    struct span element;
    bool is_zero;

    while (span_next_element(&list, &element)) {
        struct span named = name_of(element, &is_zero);
        if (span_equal_nocase(named, name))
            return !is_zero;
        if (span_equal(named, SPAN("*")))
            otherwise = !is_zero;
    }
    return otherwise;
}

/* Of what the browser takes, what we can undo. */
static void ask_for_codings(struct message *request)
{
    struct span out = SPAN_NONE, element;

    for (const struct field *field = message_find(request, FIELD_ACCEPT_ENCODING); field;
         field = message_find_next(request, field)) {
        struct span list = field->value;
        while (span_next_element(&list, &element)) {
            enum coding coding;
            bool is_zero;
            struct span name = name_of(element, &is_zero);

            if (!coding_of(name, &coding) && !span_equal_nocase(name, SPAN("identity")))
                continue;
            if ((out.size && !arena_extend(request->arena, &out, SPAN(", "))) ||
                !arena_extend(request->arena, &out, element))
                return;
        }
    }
    message_set(request, FIELD_ACCEPT_ENCODING, out.size ? out : SPAN("identity"));
}

/* What the browser gets. False: nothing that we could make. */
static bool choose_encoding(struct rework *r)
{
    static const struct {
        enum coding coding;
        enum recode recode;
    } ours[] = { { CODING_ZSTD, RECODE_ZSTD }, { CODING_GZIP, RECODE_GZIP } };
    enum recode recode = r->file.settings->config->recode;
    struct address peer = address_unwrap(r->file.client);
    bool takes_plain = accepts(r->accepts, SPAN("identity"), true);
    bool is_short = r->response->has_length && r->response->body_bytes < ENCODE_FROM_BYTES;

    r->is_encoded = false;
    if (takes_plain &&
        (address_classify(&peer) == ADDRESS_LOOPBACK || recode == RECODE_NONE || is_short))
        return true;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (takes_plain && ours[i].recode > recode)
            continue;
        r->encoding = ours[i].coding;
        r->is_encoded = accepts(r->accepts, coding_name(r->encoding), false);
        if (r->is_encoded)
            return true;
    }
    return takes_plain;
}

/* ---- the request ---- */

static bool has_condition(const struct message *request)
{
    return message_find(request, FIELD_IF_NONE_MATCH) ||
           message_find(request, FIELD_IF_MODIFIED_SINCE) ||
           message_find(request, FIELD_IF_RANGE) || message_find(request, FIELD_IF_MATCH);
}

/* fetch() and its elders take pieces of pages; they are for the page that asked. */
static bool may_be_page(const struct rework *r, const struct message *request)
{
    enum request_type type = r->judgement->type;

    if (type != TYPE_DOCUMENT && type != TYPE_SUBDOCUMENT &&
        !(r->judgement->type_is_guess && r->judgement->source.size == 0))
        return false;
    return !message_find_name(request, SPAN("X-Requested-With")) && page_edit_may(&r->subject);
}

static void set_outlook(struct rework *r, const struct message *request)
{
    r->may_be_page = may_be_page(r, request);
    r->may_be_text = text_edit_may(r->directives) || r->directives->may_grow;
}

void rework_request(struct rework *r, struct message *request,
                    const struct rework_question *question)
{
    enum validators_outlook outlook = OUTLOOK_UNEDITED;
    const struct field *accepted = message_find(request, FIELD_ACCEPT_ENCODING);

    *r = (struct rework){ .proxy = question->proxy,
                          .file = question->file,
                          .judgement = question->judgement,
                          .directives = question->directives,
                          .number = question->number };
    r->subject = (struct page_subject){ .judge = r->proxy->judge,
                                        .settings = r->file.settings,
                                        .file = &r->file,
                                        .judgement = r->judgement };
    if (r->judgement->is_filtered && request->method != METHOD_CONNECT &&
        !message_lists(request, FIELD_CACHE_CONTROL, SPAN("no-transform")))
        set_outlook(r, request);
    if (r->may_be_page || r->may_be_text) {
        r->generation = generation_of(r->proxy, r->file.settings);
        r->of_rules = r->proxy->generation.of_rules;
        outlook = text_edit_may(r->directives) || (r->may_be_page && !r->judgement->type_is_guess)
                      ? OUTLOOK_EDITED
                      : OUTLOOK_UNKNOWN;
    }
    if (has_condition(request))
        r->asked = validators_restore(request, generation_here(r), outlook);
    if (outlook == OUTLOOK_UNEDITED || !accepted)
        return;
    r->accepts = accepted->value;
    for (accepted = message_find_next(request, accepted); accepted;
         accepted = message_find_next(request, accepted))
        r->accepts = arena_printf(request->arena, "%.*s, %.*s", SPAN_PRINT(r->accepts),
                                  SPAN_PRINT(accepted->value));
    ask_for_codings(request);
}

/* ---- the response's head ---- */

static struct span media_of(struct span content_type)
{
    return span_trim(span_slice(content_type, 0, span_find_byte(content_type, ';')));
}

static struct span charset_of(struct span content_type)
{
    size_t at = span_find_byte(content_type, ';');

    while (at < content_type.size) {
        struct span parameter;

        content_type = span_from(content_type, at + 1);
        at = span_find_byte(content_type, ';');
        parameter = span_trim(span_slice(content_type, 0, at));
        if (!span_starts_nocase(parameter, SPAN("charset=")))
            continue;
        parameter = span_trim(span_from(parameter, sizeof "charset=" - 1));
        if (parameter.size >= 2 && parameter.at[0] == '"')
            parameter = span_slice(parameter, 1, parameter.size - 2);
        return parameter;
    }
    return SPAN_NONE;
}

/* Is it a whole body that somebody may change, in codings that we know? */
static bool is_whole(const struct rework *r, struct codings *codings)
{
    const struct message *response = r->response;
    unsigned status = response->status;

    if (r->file.request->method == METHOD_HEAD || response->framing == FRAMING_NONE)
        return false;
    if (status != 200 && status != 203 && status < 400)
        return false;
    if (message_find(response, FIELD_CONTENT_RANGE) ||
        message_lists(response, FIELD_CACHE_CONTROL, SPAN("no-transform")) ||
        span_starts_nocase(message_value(response, FIELD_CONTENT_DISPOSITION), SPAN("attachment")))
        return false;
    for (const struct field *field = message_find(response, FIELD_CONTENT_ENCODING); field;
         field = message_find_next(response, field))
        if (!codings_add(codings, field->value))
            return false;
    return true;
}

static bool keep_fields(struct rework *r)
{
    const struct message *response = r->response;
    size_t size = response->field_count * sizeof *response->fields;

    r->fields = arena_alloc(response->arena, size ? size : 1);
    if (!r->fields)
        return false;
    if (size)
        memcpy(r->fields, response->fields, size);
    r->field_count = response->field_count;
    return true;
}

static void put_fields_back(struct rework *r)
{
    if (r->field_count)
        memcpy(r->response->fields, r->fields, r->field_count * sizeof *r->fields);
    r->response->field_count = r->field_count;
}

static void log_rule(const struct rework *r, rule_number rule, const char *why, uint64_t at_bytes)
{
    char text[RULE_TEXT_BYTES + 4], list[100], host[260];
    struct database *database = judge_database(r->proxy->judge);
    const char *by = "";
    struct rule_view view;

    text[0] = list[0] = '\0';
    if (rule && database && database_generation(database) == r->of_rules &&
        database_rule(database, rule, &view)) {
        log_text(text, sizeof text, view.text);
        log_text(list, sizeof list, view.list);
        by = " rule=";
    }
    log_notice("exchange=%llu host=%s is not changed from byte %llu on: %s%s%s%s%s",
               (unsigned long long)r->number, log_text(host, sizeof host, r->file.target->host),
               (unsigned long long)at_bytes, why, by, text, *by ? " list=" : "", list);
}

static void on_gave_up(void *owner, const char *why, rule_number rule, uint64_t at_bytes)
{
    struct rework *r = owner;

    count(r->proxy, METRIC_BUDGET_EXCEEDED);
    log_rule(r, rule, why, at_bytes);
}

static const struct chain_events chain_events = { on_gave_up };

static bool is_short_of_memory(const struct rework *r)
{
    const struct coding_memory *memory = &r->proxy->coding_memory;

    return memory->used_bytes > memory->limit_bytes / 4 * 3;
}

/* Adds the editors that have something to do. False: there is none. */
static bool add_editors(struct rework *r, struct span content_type)
{
    struct text_subject text = { .amender = judge_amender(r->proxy->judge),
                                 .directives = r->directives,
                                 .content_type = content_type,
                                 .charset = charset_of(content_type),
                                 .url = r->file.url };
    struct body_edit edit = { .ops = NULL };
    bool is_text = r->may_be_text &&
                   text_edit_open(&edit, &text, &chain_edit_events, chain_edit_owner(r->chain));

    if (is_text)
        chain_add(r->chain, &edit);
    if (!r->may_be_page || !span_equal_nocase(media_of(content_type), SPAN("text/html")))
        return is_text;
    r->subject.response = r->response;
    r->subject.charset = text.charset;
    r->is_page = page_edit_open(&edit, &r->subject, &chain_edit_events, chain_edit_owner(r->chain));
    if (r->is_page)
        chain_add(r->chain, &edit);
    return is_text || r->is_page;
}

/* The fields of what it stands for. */
static void answer_not_modified(struct rework *r)
{
    if (!r->asked.are_current)
        return;
    if (r->may_be_page) {
        r->subject.response = r->response;
        r->subject.charset = charset_of(message_value(r->response, FIELD_CONTENT_TYPE));
        page_edit_fields(&r->subject);
    }
    validators_mark(r->response, generation_here(r), &r->asked);
}

bool rework_response(struct rework *r, struct message *response)
{
    struct span content_type = message_value(response, FIELD_CONTENT_TYPE);
    struct codings codings = { .count = 0 };
    const struct config *config;
    struct chain_limits limits;

    r->response = response;
    if (!r->may_be_page && !r->may_be_text)
        return false;
    if (response->status == 304) {
        answer_not_modified(r);
        return false;
    }
    if (!content_type.at || !is_whole(r, &codings) || !choose_encoding(r) || !keep_fields(r))
        return false;
    if (is_short_of_memory(r)) {
        on_gave_up(r, "edit_memory is in use", 0, 0);
        return false;
    }
    config = r->file.settings->config;
    limits = (struct chain_limits){ .body_bytes = (uint64_t)config->edit_size_mb * 1024 * 1024,
                                    .time_ms = config->edit_time_ms,
                                    .held_bytes = config->edit_held_kb * 1024 };
    r->chain = chain_new(&codings, &r->proxy->coding_memory, &limits, &chain_events, r);
    if (!add_editors(r, content_type)) {
        chain_free(&r->chain);
        put_fields_back(r);
        return false;
    }
    r->is_waiting = true;
    return true;
}

/* ---- its first bytes ---- */

/* Anything, if only it can be decoded. */
static enum sniff sniff_text(struct span start, bool is_whole)
{
    if (start.size)
        return SNIFF_PAGE;
    return is_whole ? SNIFF_OTHER : SNIFF_MORE;
}

static const struct span digests[] = {
    { "Digest", 6 },
    { "Content-Digest", 14 },
    { "Repr-Digest", 11 },
    { "Content-MD5", 11 },
};

static bool is_digest(struct span name)
{
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++)
        if (span_equal_nocase(name, digests[i]))
            return true;
    return false;
}

/* What is said of the body is said of what the browser gets. */
static void tell_the_truth(struct rework *r)
{
    struct message *response = r->response;

    for (size_t i = 0; i < response->field_count; i++)
        if (is_digest(response->fields[i].name))
            response->fields[i].is_dropped = true;
    message_drop(response, FIELD_CONTENT_ENCODING);
    message_drop(response, FIELD_CONTENT_LENGTH);
    if (r->is_encoded) {
        message_set(response, FIELD_CONTENT_ENCODING, coding_name(r->encoding));
        if (!message_lists(response, FIELD_VARY, SPAN("Accept-Encoding")) &&
            !message_lists(response, FIELD_VARY, SPAN("*")))
            message_add(response, SPAN("Vary"), SPAN("Accept-Encoding"));
    }
    if (message_find(response, FIELD_ACCEPT_RANGES))
        message_set(response, FIELD_ACCEPT_RANGES, SPAN("none"));
    validators_mark(response, generation_here(r), &r->asked);
    response->has_length = false;
    response->body_bytes = 0;
    response->framing = r->file.request->version_minor == 0 ? FRAMING_UNTIL_CLOSE : FRAMING_CHUNKED;
}

enum rework_decision rework_decide(struct rework *r)
{
    bool is_whole = false;
    struct span start;
    enum sniff sniffed = SNIFF_OTHER;

    if (chain_peek(r->chain, &start, &is_whole, NULL) == ERROR_NONE)
        sniffed = r->is_page ? sniff_page(start, is_whole || start.size == CHAIN_PEEK_BYTES,
                                          is_whole, !r->judgement->type_is_guess)
                             : sniff_text(start, is_whole);
    if (sniffed == SNIFF_MORE && chain_raw(r->chain).size > REWORK_PEEK_LIMIT_BYTES)
        sniffed = SNIFF_OTHER;
    if (sniffed == SNIFF_MORE)
        return REWORK_WAITS;
    r->is_waiting = false;
    if (sniffed == SNIFF_OTHER) {
        put_fields_back(r);
        return REWORK_PASSES;
    }
    if (r->is_encoded && !chain_encode(r->chain, r->encoding))
        r->is_encoded = false;
    tell_the_truth(r);
    return REWORK_EDITS;
}

/* ---- its end ---- */

void rework_trailers(struct rework *r)
{
    for (size_t i = 0; i < r->response->trailer_count; i++)
        if (is_digest(r->response->trailers[i].name))
            r->response->trailers[i].is_dropped = true;
}

void rework_done(struct rework *r)
{
    struct chain_counts counts;

    if (!r->chain)
        return;
    counts = chain_counts(r->chain);
    r->counts = counts.edits;
    r->has_changed = counts.edits.removed_bytes || counts.edits.removed_elements ||
                     counts.put_bytes != counts.decoded_bytes;
    metrics_add(r->proxy->metrics, METRIC_BYTES_REMOVED_HTML, counts.edits.removed_bytes);
    metrics_add(r->proxy->metrics, METRIC_ELEMENTS_REMOVED, counts.edits.removed_elements);
    chain_free(&r->chain);
    r->is_waiting = false;
}
