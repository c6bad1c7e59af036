#include "proxy/via.h"

void via_add(struct exchange *x, struct message *message)
{
    const struct field *old;
    struct span value = SPAN_NONE, ours = x->proxy->via;
    struct span list[2];
    size_t parts = 0;

    if (!x->settings->config->via || exchange_is_secure(x)) // inside of TLS we are not to be seen
        return;
    if (message->version_minor == 0) // as it was received (RFC 9110 section 7.6.3)
        ours = arena_printf(&x->arena, "1.0 %.*s", SPAN_PRINT(x->proxy->pseudonym));
    old = message_find(message, FIELD_VIA);
    if (!old) {
        message_add(message, SPAN("Via"), ours);
        return;
    }
    for (; old; old = message_find_next(message, old)) {
        list[0] = old->value;
        list[1] = SPAN(", ");
        for (parts = 0; parts < 2; parts++)
            if (!arena_extend(&x->arena, &value, list[parts]))
                return;
    }
    if (arena_extend(&x->arena, &value, ours))
        message_set(message, FIELD_VIA, value);
}

bool via_is_loop(const struct exchange *x)
{
    struct span pseudonym = x->proxy->pseudonym;

    for (const struct field *via = message_find(&x->request, FIELD_VIA); via;
         via = message_find_next(&x->request, via)) {
        struct span list = via->value, element;
        while (span_next_element(&list, &element)) {
            size_t blank = span_find_byte(element, ' ');
            struct span by = span_trim(span_from(element, blank));
            if (span_equal(span_slice(by, 0, span_find_byte(by, ' ')), pseudonym))
                return true;
        }
    }
    return false;
}
