#include "proxy/destination.h"

/* WHATWG Fetch, "port blocking" (section 2.8): what no browser asks of HTTP. */
static const uint16_t bad_ports[] = {
    1,    7,    9,    11,   13,   15,   17,   19,   20,   21,   22,   23,    25,   37,
    42,   43,   53,   69,   77,   79,   87,   95,   101,  102,  103,  104,   109,  110,
    111,  113,  115,  117,  119,  123,  135,  137,  139,  143,  161,  179,   389,  427,
    465,  512,  513,  514,  515,  526,  530,  531,  532,  540,  548,  554,   556,  563,
    587,  601,  636,  989,  990,  993,  995,  1719, 1720, 1723, 2049, 3659,  4045, 4190,
    5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
};

static const struct span local_suffixes[] = {
    { ".local", 6 },    { ".lan", 4 },      { ".home.arpa", 10 },
    { ".internal", 9 }, { ".intranet", 9 }, { ".private", 8 },
    { ".home", 5 },     { ".corp", 5 },     { ".localhost", 10 },
};

bool destination_is_local_name(struct span host)
{
    if (span_find_byte(host, '.') == host.size)
        return true;
    for (size_t i = 0; i < sizeof local_suffixes / sizeof *local_suffixes; i++)
        if (span_ends_nocase(host, local_suffixes[i]))
            return true;
    return false;
}

/* Some allowed range names this very port, whatever the address. */
static bool a_range_names_port(const struct settings *settings, uint16_t port)
{
    for (size_t i = 0; i < settings->destination_count; i++) {
        const struct address_range *range = &settings->destinations[i];
        if ((range->first_port > 0 || range->last_port < 65535) && port >= range->first_port &&
            port <= range->last_port)
            return true;
    }
    return false;
}

enum error_kind destination_check_port(const struct settings *settings,
                                       const struct destination *to, bool is_connect,
                                       struct error *error)
{
    if (is_connect) {
        for (size_t i = 0; i < settings->connect_port_count; i++)
            if (to->port >= settings->connect_ports[i].first &&
                to->port <= settings->connect_ports[i].last)
                return ERROR_NONE;
        return error_set(error, ERROR_FORBIDDEN,
                         "tunnels to port %u are not allowed; this would allow them: "
                         "connect_ports += {\"%u\"}",
                         to->port, to->port);
    }
    for (size_t i = 0; i < sizeof bad_ports / sizeof *bad_ports; i++)
        if (to->port == bad_ports[i] && !a_range_names_port(settings, to->port))
            return error_set(error, ERROR_FORBIDDEN,
                             "port %u belongs to another protocol; this would allow it for one "
                             "address: allow_destinations += {\"ADDRESS:%u\"}",
                             to->port, to->port);
    return ERROR_NONE;
}

static bool is_own(const struct address *address, const struct address *own, size_t own_count)
{
    for (size_t i = 0; i < own_count; i++) {
        struct address listener = address_unwrap(&own[i]);
        if (address_port(&listener) != address_port(address))
            continue;
        // Bound to every address: loopback is ours for certain; the rest shows once connected.
        if (address_classify(&listener) == ADDRESS_UNSPECIFIED &&
            address_classify(address) == ADDRESS_LOOPBACK)
            return true;
        if (address_equal(&listener, address))
            return true;
    }
    return false;
}

enum error_kind destination_check_address(const struct settings *settings,
                                          const struct destination *to,
                                          const struct address *address, const struct address *own,
                                          size_t own_count, struct error *error)
{
    struct address plain = address_unwrap(address);
    enum address_class class_of = address_classify(address); // by all readings, not only `plain`
    char text[ADDRESS_TEXT_BYTES], with_port[ADDRESS_TEXT_BYTES];

    if (is_own(&plain, own, own_count))
        return error_set(error, ERROR_FORBIDDEN, "%s is this proxy itself",
                         address_text_with_port(&plain, with_port));
    if (class_of == ADDRESS_PUBLIC)
        return ERROR_NONE;
    for (size_t i = 0; i < settings->destination_count; i++)
        if (address_range_has(&settings->destinations[i], &plain))
            return ERROR_NONE;
    if (class_of == ADDRESS_PRIVATE) {
        if (to->is_literal || destination_is_local_name(to->host) ||
            texts_match(&settings->config->private_names, to->host))
            return ERROR_NONE;
        return error_set(error, ERROR_FORBIDDEN,
                         "%.*s is a public name with the private address %s, as in a DNS rebinding "
                         "attack; this would allow it: private_names += {\"%.*s\"}",
                         SPAN_PRINT(to->host), address_text(&plain, text), SPAN_PRINT(to->host));
    }
    return error_set(error, ERROR_FORBIDDEN,
                     "%s is a %s address; this would allow it: allow_destinations += {\"%s\"}",
                     address_text(&plain, text), address_class_name(class_of),
                     address_text_with_port(&plain, with_port));
}
