#include "io/presence.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void presence_ask(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        { IPPROTO_TCP, TCP_KEEPIDLE, PRESENCE_EACH_S },
        { IPPROTO_TCP, TCP_KEEPINTVL, PRESENCE_EACH_S },
        { IPPROTO_TCP, TCP_KEEPCNT, PRESENCE_PROBES },
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
}

bool presence_is_lost(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t size = sizeof info;

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_CLOSE;
}
