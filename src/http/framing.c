#include "http/framing.h"

#include "http/octets.h"
#include "http/target.h"

/* What the fields say about framing and the connection, before anybody decides. */
struct facts {
    // of upgrades those that may be switched to
    size_t hosts, lengths, codings, upgrades, names; // how many of each
    struct span host, length, coding;                // the first of each
    bool lengths_differ;
    bool says_close, says_keep_alive, names_upgrade;
};

/* RFC 9110 section 8.6: a list, and several fields, may say the same number again and again. */
static void note_lengths(struct facts *facts, struct span list)
{
    for (bool more = true; more;) {
        size_t comma = span_find_byte(list, ',');
        struct span number = span_trim(span_slice(list, 0, comma));

        if (++facts->lengths == 1)
            facts->length = number;
        else if (!span_equal(number, facts->length))
            facts->lengths_differ = true;
        more = comma < list.size;
        list = span_from(list, comma + more);
    }
}

static void note_connection(struct facts *facts, struct span list, bool is_for_proxy)
{
    struct span name;

    while (message_next_token(&list, &name)) {
        if (span_equal_nocase(name, SPAN("close")))
            facts->says_close = true;
        else if (span_equal_nocase(name, SPAN("keep-alive")))
            facts->says_keep_alive = true;
        else if (!is_for_proxy && span_equal_nocase(name, SPAN("upgrade")))
            facts->names_upgrade = true;
        facts->names++;
    }
}

static void note_upgrades(struct facts *facts, struct span list)
{
    struct span protocol;

    while (message_next_token(&list, &protocol))
        facts->upgrades += message_may_switch_to(protocol);
}

static void collect(struct facts *facts, const struct message *message)
{
    *facts = (struct facts){ 0 };
    for (size_t i = 0; i < message->field_count; i++) {
        const struct field *field = &message->fields[i];

        switch (field->id) {
        case FIELD_HOST:
            if (++facts->hosts == 1)
                facts->host = field->value;
            break;
        case FIELD_CONTENT_LENGTH:
            note_lengths(facts, field->value);
            break;
        case FIELD_TRANSFER_ENCODING:
            if (++facts->codings == 1)
                facts->coding = field->value;
            break;
        case FIELD_CONNECTION:
            note_connection(facts, field->value, false);
            break;
        case FIELD_PROXY_CONNECTION:
            note_connection(facts, field->value, true);
            break;
        case FIELD_UPGRADE:
            note_upgrades(facts, field->value);
            break;
        default:
            break;
        }
    }
}

/* The number in Content-Length; true also when there is none. A body of more bytes than this is a
 * wish to overflow somebody's counter. */
static bool parse_length(const struct facts *facts, uint64_t *length, struct refusal *why)
{
    *length = 0;
    if (facts->lengths == 0)
        return true;
    if (facts->lengths_differ || !octets_are(facts->length, OCTET_DIGIT))
        return refuse_syntax(why, "Content-Length is not one number");
    if (facts->length.size > 19 || !span_to_u64(facts->length, length) || *length > INT64_MAX)
        return refuse(why, ERROR_LIMIT, 413, "Content-Length is too large");
    return true;
}

/* What is faulty on both sides (RFC 9112 sections 6.1 and 6.3). */
static bool is_sound(const struct message *message, const struct facts *facts, struct refusal *why)
{
    if (facts->codings && facts->lengths)
        return refuse_syntax(why, "both Transfer-Encoding and Content-Length");
    if (facts->codings > 1)
        return refuse_syntax(why, "two Transfer-Encoding fields");
    if (facts->codings && message->version_minor == 0)
        return refuse_syntax(why, "Transfer-Encoding in HTTP/1.0");
    if (facts->names > MESSAGE_CONNECTION_NAMES)
        return refuse(why, ERROR_LIMIT, 431, "Connection names too many fields");
    return true;
}

static bool host_is_sound(const struct message *message, const struct facts *facts,
                          struct refusal *why)
{
    if (facts->hosts > 1)
        return refuse_syntax(why, "two Host fields");
    if (facts->hosts == 0 && message->version_minor > 0)
        return refuse_syntax(why, "no Host field");
    // an empty one is legal where the target has the host; where not, target_split() says so
    if (facts->hosts && facts->host.size && !target_is_authority(facts->host))
        return refuse_syntax(why, "the Host field is not host and port");
    return true;
}

/* Expect means something with content, from HTTP/1.1 on; else it is not passed on, because
 * nothing would be waited for (RFC 9110 section 10.1.1). */
static bool take_expectation(struct message *message, struct refusal *why)
{
    const struct field *field = message_find(message, FIELD_EXPECT);

    if (!field)
        return true;
    for (; field; field = message_find_next(message, field))
        if (!span_equal_nocase(field->value, SPAN("100-continue")))
            return refuse(why, ERROR_UNSUPPORTED, 417, "an unknown expectation");
    message->expects_continue = message->version_minor > 0 && message->framing != FRAMING_NONE;
    if (!message->expects_continue)
        message_drop(message, FIELD_EXPECT);
    return true;
}

static bool decide_request(struct message *message, const struct facts *facts,
                           const struct framing_declared *declared, struct refusal *why)
{
    if (!host_is_sound(message, facts, why))
        return false;
    if (facts->lengths > 1)
        return refuse_syntax(why, "two Content-Lengths");
    if (declared->has_coding && !declared->is_chunked)
        return refuse(why, ERROR_UNSUPPORTED, 501, "an unknown Transfer-Encoding");
    if (declared->is_chunked)
        message->framing = FRAMING_CHUNKED;
    else
        message->framing = declared->length ? FRAMING_LENGTH : FRAMING_NONE;
    if (message->method == METHOD_CONNECT && message->framing != FRAMING_NONE)
        return refuse_syntax(why, "CONNECT with a body");
    // RFC 9112 section 9.3: a proxy keeps no connection open for HTTP/1.0
    message->keep_alive = message->version_minor > 0 && !facts->says_close;
    message->is_upgrade = message->version_minor > 0 && facts->names_upgrade && facts->upgrades &&
                          message->method != METHOD_CONNECT;
    return take_expectation(message, why);
}

static enum framing response_framing(const struct message *message, enum method answers,
                                     const struct framing_declared *declared)
{
    if (message->status < 200 || message->status == 204 || message->status == 304 ||
        answers == METHOD_HEAD || (answers == METHOD_CONNECT && message->status < 300))
        return FRAMING_NONE; // it ends with its head, whatever its fields say
    if (declared->is_chunked)
        return FRAMING_CHUNKED;
    if (declared->has_length)
        return declared->length ? FRAMING_LENGTH : FRAMING_NONE;
    return FRAMING_UNTIL_CLOSE;
}

/* Its body is framed alike by all, but this origin is not to be trusted with another request. */
static bool is_abnormal(const struct message *message, const struct facts *facts,
                        const struct framing_declared *declared)
{
    bool must_have_no_body =
        message->status < 200 || message->status == 204 || message->status == 205;

    return facts->lengths > 1 || (declared->has_coding && !declared->is_chunked) ||
           (must_have_no_body && (declared->has_coding || declared->length));
}

static bool decide_response(struct message *message, enum method answers, const struct facts *facts,
                            const struct framing_declared *declared, struct refusal *why)
{
    bool is_tunnel = answers == METHOD_CONNECT && message->status / 100 == 2;

    if (declared->has_coding && !declared->is_chunked &&
        !span_equal_nocase(facts->coding, SPAN("identity")))
        return refuse(why, ERROR_UNSUPPORTED, 501, "an unknown Transfer-Encoding");
    if (message->status == 101 && (!facts->upgrades || !facts->names_upgrade))
        return refuse_syntax(why, "101 to nothing that was offered");
    message->framing = response_framing(message, answers, declared);
    if (is_tunnel || message->status < 200 || message->status == 204)
        message->has_length = false; // it must not be there (RFC 9110 section 8.6)
    message->is_upgrade = message->status == 101;
    message->is_abnormal = is_abnormal(message, facts, declared);
    message->keep_alive = !facts->says_close && !message->is_abnormal && !message->is_upgrade &&
                          !is_tunnel && message->framing != FRAMING_UNTIL_CLOSE &&
                          (message->version_minor > 0 || facts->says_keep_alive);
    return true;
}

bool framing_decide(struct message *message, enum method answers, struct framing_declared *declared,
                    struct refusal *why)
{
    struct facts facts;
    bool is_taken;

    collect(&facts, message);
    *declared = (struct framing_declared){
        .has_length = facts.lengths > 0,
        .has_coding = facts.codings > 0,
        .is_chunked = facts.codings && span_equal_nocase(facts.coding, SPAN("chunked")),
        .length_text = facts.length,
        .coding_text = facts.coding,
    };
    if (!is_sound(message, &facts, why) || !parse_length(&facts, &declared->length, why))
        return false;
    message->has_length = declared->has_length;
    is_taken = message->is_request ? decide_request(message, &facts, declared, why)
                                   : decide_response(message, answers, &facts, declared, why);
    message->body_bytes = message->has_length ? declared->length : 0;
    return is_taken;
}
