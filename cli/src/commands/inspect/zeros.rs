//! What docker's types hold where there is nothing to say. PURE.
//!
//! A template may ask for every field that docker has, and scripts do: a field that mini does not speak of answers with what
//! docker says of a container that makes no use of it. What mini does speak of is never changed here.

use serde_json::{Value, json};

/// Adds what a container lacks of docker's fields, and takes away what docker would leave out.
pub(super) fn container(mut value: Value) -> Value {
    fill(
        &mut value,
        json!({
            "RestartCount": 0,
            "MountLabel": "",
            "ProcessLabel": "",
            "AppArmorProfile": "",
            "ExecIDs": null,
            "State": { "Restarting": false, "Dead": false },
            "HostConfig": host_config(),
            "Config": config(),
            "NetworkSettings": {
                "SandboxID": "",
                "SandboxKey": "",
                "HairpinMode": false,
                "LinkLocalIPv6Address": "",
                "LinkLocalIPv6PrefixLen": 0,
                "SecondaryIPAddresses": null,
                "SecondaryIPv6Addresses": null,
                "EndpointID": "",
                "GlobalIPv6Address": "",
                "GlobalIPv6PrefixLen": 0,
                "IPv6Gateway": "",
            },
        }),
    );
    leave_out(&mut value);
    if let Some(Value::Object(networks)) = value.pointer_mut("/NetworkSettings/Networks") {
        networks.values_mut().for_each(|network| fill(network, endpoint()));
    }
    value
}

/// Adds what an image lacks of docker's fields.
pub(super) fn image(mut value: Value) -> Value {
    fill(
        &mut value,
        json!({
            "Parent": "",
            "Comment": "",
            "DockerVersion": "",
            "Config": config(),
            "Container": "",
            "ContainerConfig": config(),
            "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
        }),
    );
    value
}

/// Fields that docker leaves out where there is nothing in them.
const LEFT_OUT: [(&str, &[&str]); 3] = [
    ("State", &["Health"]),
    ("HostConfig", &["Annotations", "Init", "Mounts", "StorageOpt", "Sysctls", "Tmpfs"]),
    ("Config", &["ExposedPorts", "Healthcheck", "Shell", "StopTimeout"]),
];

fn leave_out(value: &mut Value) {
    for (part, names) in LEFT_OUT {
        let Some(Value::Object(fields)) = value.get_mut(part) else { continue };
        fields.retain(|name, value| {
            let nothing = value.is_null() || *value == json!({}) || *value == json!([]);
            !(nothing && names.contains(&name.as_str()))
        });
    }
}

/// Objects are filled, whatever else is there stays.
fn fill(value: &mut Value, zeros: Value) {
    match (value, zeros) {
        (Value::Object(fields), Value::Object(zeros)) => {
            for (name, zero) in zeros {
                match fields.get_mut(&name) {
                    Some(field) => fill(field, zero),
                    None => drop(fields.insert(name, zero)),
                }
            }
        }
        // An image may have no configuration at all.
        (value @ Value::Null, zeros @ Value::Object(_)) => *value = zeros,
        _ => {}
    }
}

fn host_config() -> Value {
    json!({
        "ContainerIDFile": "",
        "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 },
        "VolumeDriver": "",
        "VolumesFrom": null,
        "ConsoleSize": [0, 0],
        "CgroupnsMode": "private",
        "GroupAdd": null,
        "IpcMode": "private",
        "Cgroup": "",
        "Links": null,
        "PidMode": "",
        "UTSMode": "",
        "Runtime": "mini",
        "Isolation": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": "",
        "CpusetMems": "",
        "Devices": [],
        "DeviceCgroupRules": null,
        "DeviceRequests": null,
        "MemoryReservation": 0,
        "MemorySwappiness": null,
        "OomKillDisable": null,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}

fn config() -> Value {
    json!({
        "Hostname": "",
        "Domainname": "",
        "User": "",
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
        "Tty": false,
        "OpenStdin": false,
        "StdinOnce": false,
        "Env": null,
        "Cmd": null,
        "Image": "",
        "Volumes": null,
        "WorkingDir": "",
        "Entrypoint": null,
        "OnBuild": null,
        "Labels": {},
    })
}

fn endpoint() -> Value {
    json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": null,
        "DriverOpts": null,
        "NetworkID": "",
        "EndpointID": "",
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_stays_and_what_is_not_is_added() {
        let filled = container(json!({
            "Id": "3f2a",
            "HostConfig": { "Tmpfs": {}, "Sysctls": { "a": "b" }, "PidMode": "host", "RestartPolicy": { "Name": "always" }, "Devices": [1] },
            "Config": { "Labels": { "Env": "a label" } },
            "NetworkSettings": { "Networks": { "bridge": { "IPAddress": "10.0.0.2" } } },
        }));
        for (pointer, expected) in [
            ("/Id", json!("3f2a")),
            ("/HostConfig/PidMode", json!("host")),
            ("/HostConfig/RestartPolicy", json!({ "Name": "always", "MaximumRetryCount": 0 })),
            ("/HostConfig/Devices", json!([1])),
            ("/HostConfig/IpcMode", json!("private")),
            ("/Config/Labels", json!({ "Env": "a label" })),
            ("/Config/Tty", json!(false)),
            ("/NetworkSettings/Networks/bridge/IPAddress", json!("10.0.0.2")),
            ("/NetworkSettings/Networks/bridge/Aliases", Value::Null),
            ("/State/Restarting", json!(false)),
        ] {
            assert_eq!(filled.pointer(pointer), Some(&expected), "{pointer}");
        }
        assert_eq!(
            (filled["HostConfig"].get("Tmpfs"), &filled["HostConfig"]["Sysctls"]),
            (None, &json!({ "a": "b" }))
        );
        assert_eq!(image(json!({ "Config": null }))["Config"]["Entrypoint"], Value::Null);
    }

    /// Programs read these names: one that goes is missed.
    #[test]
    fn a_container_that_says_nothing_has_dockers_shape() {
        let empty = json!({ "NetworkSettings": { "Networks": { "bridge": {} } } });
        insta::assert_json_snapshot!(container(empty), @r#"
        {
          "AppArmorProfile": "",
          "Config": {
            "AttachStderr": false,
            "AttachStdin": false,
            "AttachStdout": false,
            "Cmd": null,
            "Domainname": "",
            "Entrypoint": null,
            "Env": null,
            "Hostname": "",
            "Image": "",
            "Labels": {},
            "OnBuild": null,
            "OpenStdin": false,
            "StdinOnce": false,
            "Tty": false,
            "User": "",
            "Volumes": null,
            "WorkingDir": ""
          },
          "ExecIDs": null,
          "HostConfig": {
            "BlkioDeviceReadBps": [],
            "BlkioDeviceReadIOps": [],
            "BlkioDeviceWriteBps": [],
            "BlkioDeviceWriteIOps": [],
            "BlkioWeight": 0,
            "BlkioWeightDevice": [],
            "Cgroup": "",
            "CgroupnsMode": "private",
            "ConsoleSize": [
              0,
              0
            ],
            "ContainerIDFile": "",
            "CpuCount": 0,
            "CpuPercent": 0,
            "CpuRealtimePeriod": 0,
            "CpuRealtimeRuntime": 0,
            "CpusetCpus": "",
            "CpusetMems": "",
            "DeviceCgroupRules": null,
            "DeviceRequests": null,
            "Devices": [],
            "GroupAdd": null,
            "IOMaximumBandwidth": 0,
            "IOMaximumIOps": 0,
            "IpcMode": "private",
            "Isolation": "",
            "Links": null,
            "MemoryReservation": 0,
            "MemorySwappiness": null,
            "OomKillDisable": null,
            "PidMode": "",
            "RestartPolicy": {
              "MaximumRetryCount": 0,
              "Name": "no"
            },
            "Runtime": "mini",
            "UTSMode": "",
            "VolumeDriver": "",
            "VolumesFrom": null
          },
          "MountLabel": "",
          "NetworkSettings": {
            "EndpointID": "",
            "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0,
            "HairpinMode": false,
            "IPv6Gateway": "",
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "Networks": {
              "bridge": {
                "Aliases": null,
                "DNSNames": null,
                "DriverOpts": null,
                "EndpointID": "",
                "GlobalIPv6Address": "",
                "GlobalIPv6PrefixLen": 0,
                "IPAMConfig": null,
                "IPv6Gateway": "",
                "Links": null,
                "NetworkID": ""
              }
            },
            "SandboxID": "",
            "SandboxKey": "",
            "SecondaryIPAddresses": null,
            "SecondaryIPv6Addresses": null
          },
          "ProcessLabel": "",
          "RestartCount": 0,
          "State": {
            "Dead": false,
            "Restarting": false
          }
        }
        "#);
    }
}
