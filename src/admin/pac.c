#include "admin/pac.h"

#include "http/target.h"
#include "io/address.h"

static const char script[] = "function FindProxyForURL(url, host) {\n"
                             "    var proxy = \"PROXY %.*s%s\";\n"
                             "    host = host.toLowerCase();\n"
                             "    if (host == \"dejunk\")\n"
                             "        return proxy;\n"
                             "    if (isPlainHostName(host) || "
                             "/\\.(local|lan|home\\.arpa|internal|localhost)$/.test(host))\n"
                             "        return \"DIRECT\";\n"
                             "    if (/^\\d+\\.\\d+\\.\\d+\\.\\d+$/.test(host) &&\n"
                             "        (isInNet(host, \"10.0.0.0\", \"255.0.0.0\") ||\n"
                             "         isInNet(host, \"172.16.0.0\", \"255.240.0.0\") ||\n"
                             "         isInNet(host, \"192.168.0.0\", \"255.255.0.0\") ||\n"
                             "         isInNet(host, \"169.254.0.0\", \"255.255.0.0\") ||\n"
                             "         isInNet(host, \"127.0.0.0\", \"255.0.0.0\")))\n"
                             "        return \"DIRECT\";\n"
                             "    if (host.indexOf(\":\") >= 0 && "
                             "/^\\[?(::1|f[cd][0-9a-f]*:|fe[89ab][0-9a-f]:)/.test(host))\n"
                             "        return \"DIRECT\";\n"
                             "    return proxy + \"; DIRECT\";\n"
                             "}\n";

static bool has_port(struct span host)
{
    size_t bracket = span_find_byte(host, ']');

    return span_find_byte(span_from(host, bracket < host.size ? bracket : 0), ':') <
           host.size - (bracket < host.size ? bracket : 0);
}

static bool is_usable(struct span host)
{
    struct span name = span_slice(host, 0, span_find_byte(host, ':'));

    if (host.size == 0 || !target_is_authority(host) || span_equal_nocase(name, SPAN("dejunk")))
        return false;
    for (size_t i = 0; i < host.size; i++) // nothing that could end a string in a script
        if (host.at[i] == '"' || host.at[i] == '\\' || host.at[i] == ';' || host.at[i] <= ' ' ||
            host.at[i] > '~')
            return false;
    return true;
}

bool pac_write(struct buffer *out, struct span host, struct span otherwise)
{
    if (!is_usable(host))
        host = otherwise;
    return buffer_printf(out, script, SPAN_PRINT(host), has_port(host) ? "" : ":80");
}
