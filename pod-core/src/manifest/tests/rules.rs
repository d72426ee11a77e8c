//! The rules of Kubernetes' validation.

use super::*;

#[test]
fn rules_of_containers() {
    insta::assert_snapshot!(gallery(
        [
            "workingDir: srv",
            "ports: [{name: HTTP, containerPort: 80}, {name: web, containerPort: 1}, {name: web, containerPort: 2, hostIP: localhost}]",
            "ports: [{containerPort: 80, hostPort: 80}, {containerPort: 81, hostPort: 80, hostIP: 0.0.0.0}, {containerPort: 80, hostPort: 80, protocol: UDP}]",
            "env: [{name: A=B, value: x}, {name: ä}]",
            "env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
            "env: [{name: A, valueFrom: {}}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}, secretKeyRef: {name: a, key: b}}}]",
            "env: [{name: A, valueFrom: {feildRef: {fieldPath: metadata.name}}}]",
            "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.labels}}}, {name: B, valueFrom: {fieldRef: {fieldPath: status.podIp}}}, {name: C, valueFrom: {fieldRef: {fieldPath: spec.containers}}}]",
            "env: [{name: A, valueFrom: {configMapKeyRef: {name: C, key: a/b}}}, {name: B, valueFrom: {secretKeyRef: {key: x}}}]",
            "env: [{name: A, valueFrom: {resourceFieldRef: {resource: cpu}}}]",
            "envFrom: [{}, {configMapRef: {name: a}, secretRef: {name: b}}, {prefix: \"a=\", secretRef: {}}]",
            "volumeMounts: [{name: data, mountPath: /data}]",
            "volumeMounts: [{mountPath: data}, {name: x}]",
            "resources: {requests: {cpu: 2, memory: 1Gi}, limits: {cpu: 1500m, memory: 1G}}",
            "resources: {limits: {cpu: -1, cpus: 1, gpu: 1}}",
            "resources: {limits: {podman.io/device=/dev/fuse: 1, 'podman.io/device=/etc': 1, 'podman.io/device=/dev/a:/dev/b:q': 1}}",
            "securityContext: {privileged: true, allowPrivilegeEscalation: false}",
            "securityContext: {allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN]}}",
            "securityContext: {capabilities: {add: [CAP_NET_ADMIN, net_raw, NET_ADMN, FLY], drop: [all]}}",
            "securityContext: {seccompProfile: {type: Localhost}}",
            "securityContext: {seccompProfile: {type: Unconfined, localhostProfile: a}}",
            "livenessProbe: {exec: {command: [a]}, httpGet: {port: 80}, successThreshold: 2}\nreadinessProbe: {periodSeconds: 1, terminationGracePeriodSeconds: 3}",
            "startupProbe: {tcpSocket: {port: HTTP}}\nreadinessProbe: {httpGet: {port: 0}}\nlifecycle: {preStop: {}, postStart: {sleep: {seconds: 1}, exec: {command: [a]}}}",
            "ports: [{name: http, containerPort: 80}]\nstartupProbe: {tcpSocket: {port: htpp}}\nreadinessProbe: {httpGet: {port: http}, failureThreshold: -1}\nlivenessProbe: {exec: {command: []}, terminationGracePeriodSeconds: 0}\nlifecycle: {preStop: {httpGet: {port: web}}}",
            "startupProbe: {}\nreadinessProbe: {grpc: {port: 0}}",
            "startupProbe: {grpc: {port: 1, mode: tls}}\nreadinessProbe: {httpGet: {port: 1, protocol: HTTP2, scheme: HTTPS}}\nlivenessProbe: {httpGet: {port: 1, protocol: HTTP2, host: 10.0.0.1}}\nlifecycle: {preStop: {httpGet: {port: 1, protocol: H2C}}}",
            "lifecycle: {postStart: {sleep: {seconds: -1}}, preStop: {sleep: {seconds: 31}}}",
            "restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1, 2, 1]}}, {action: Restart}, {action: Stop, exitCodes: {operator: Is}}]\nterminationMessagePath: log\nterminationMessagePolicy: Logs\nstdinOnce: true",
            "lifecycle: {postStart: {sleep: {}}, preStop: {exec: {}, tcpSocket: {port: 0}}}",
        ],
        container
    ));
}

#[test]
fn rules_of_pods() {
    insta::assert_snapshot!(gallery(
        [
            "containers: []",
            "restartPolicy: Always",
            "containers: [{name: A_b, image: x}, {name: same, image: \" x\"}, {name: same, image: x}]\ninitContainers: [{name: same, image: z}]",
            "initContainers: [{name: i, image: i, readinessProbe: {exec: {command: [a]}}, lifecycle: {stopSignal: SIGINT}}]\ncontainers: [{name: a, image: b}]",
            "containers: [{name: a, image: b, ports: [{containerPort: 80, hostPort: 8080}]}]\nhostNetwork: true",
            "containers: [{name: a, image: b, ports: [{containerPort: 1, hostPort: 8080}]}, {name: c, image: d, ports: [{containerPort: 2, hostPort: 8080}]}]",
            "containers: [{name: a, image: b, volumeMounts: [{name: dta, mountPath: /a}, {name: data, mountPath: /a/}, {name: data, mountPath: /b, subPath: ../c}, {name: data, mountPath: /c, subPath: /d}]}]\nvolumes: [{name: data, emptyDir: {}}]",
            "containers: [{name: a, image: b}]\nvolumes: [{name: a}, {name: a, emptyDir: {}, hostPath: {path: /x}}, {name: b, emptyDir: }, {name: C, hostPath: {path: /a/../b}}]",
            "containers: [{name: a, image: b}]\nvolumes: [{name: a, emptyDir: {medium: memory, sizeLimit: -1}}, {name: b, hostPath: {type: Dir}}, {name: c, hostPath: {path: ./ok/../here}}, {name: d, secret: {}}]",
            "containers: [{name: a, image: b, volumeMounts: [{name: a, mountPath: /a}, {name: kube-api-access-x, mountPath: /b}]}]\nvolumes: [{name: a, projected: {defaultUser: -1, sources: [{}, {configMap: {name: c, items: [{key: a, path: x}]}, secret: {name: s}}, {secret: {name: S_, items: [{key: b, path: x}, {key: c, path: ../y, user: -2}]}}, {clusterTrustBundle: {path: ca}}]}}, {name: kube-api-access-x, projected: {sources: [{serviceAccountToken: {path: token}}]}}, {name: unused, projected: {sources: [{serviceAccountToken: {path: token}}]}}]",
            "containers: [{name: a, image: b}]\nvolumes: [{name: a, downwardAPI: {items: [{path: ..a}, {path: a, fieldRef: {fieldPath: metadata.label}, resourceFieldRef: {resource: limits.cpu}}, {path: b, fieldRef: {fieldPath: status.podIP}}, {path: c, fieldRef: {fieldPath: \"metadata.labels['a b']\"}}]}}, {name: b, emptyDir: {mode: 02000}}]",
            "containers: [{name: a, image: b, securityContext: {privileged: true}, volumeMounts: [{name: v, mountPath: /a, subPathExpr: ../$(A)}, {name: v, mountPath: /b, recursiveReadOnly: Enabled}, {name: v, mountPath: /c, readOnly: true, recursiveReadOnly: IfPossible, mountPropagation: HostToContainer}, {name: v, mountPath: /d, mountPropagation: Bidirectional}]}]\nvolumes: [{name: v}]",
            "containers: [{name: a, image: b}]\nvolumes: [{name: a, configMap: {name: c, items: [{key: a, path: /x}, {key: b, path: a/../b}, {key: c, path: ..d}, {path: e}]}}]",
            "containers: [{name: a, image: b}]\nhostname: web.example.com\nhostAliases: [{ip: nowhere, hostnames: [under_score]}]\nimagePullSecrets: [{}]",
            "containers: [{name: a, image: b}]\ndnsPolicy: None",
            "containers: [{name: a, image: b}]\ndnsPolicy: none\ndnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, dns], searches: [a_b.c, -x], options: [{value: \"1\"}]}",
            "containers: [{name: a, image: b}]\nterminationGracePeriodSeconds: -1",
            "containers: [{name: a, image: b}]\nactiveDeadlineSeconds: 0\nreadinessGates: [{conditionType: Ready}, {conditionType: example.com/lb}, {conditionType: a b}, {}]",
            "containers: [{name: a, image: b}]\ninitContainers: [{name: s, image: s, restartPolicy: Always, readinessProbe: {exec: {command: [a]}}, lifecycle: {preStop: {sleep: {seconds: 1}}}}, {name: i, image: i, restartPolicy: Never, startupProbe: {exec: {command: [a]}}}]",
            "containers: [{name: a, image: b}]\nshareProcessNamespace: true\nhostPID: true\nhostUsers: false",
            "containers: [{name: a, image: b}]\nhostNetwork: true\nsecurityContext: {sysctls: [{name: net.core.somaxconn, value: \"1\"}, {name: vm.swappiness, value: \"1\"}, {name: kernel.msgmax, value: \"1\"}, {name: kernel/msgmax, value: \"1\"}, {name: No, value: \"1\"}]}",
            "containers: [{name: a, image: b}]\nos: {name: windows}",
            "containers: [{name: a, image: b, securityContext: {seLinuxOptions: {type: 'a b', level: 's0\",x=y'}}}]\nsecurityContext: {seLinuxOptions: {user: 'a:b', role: system_r, level: 's0:c1,c2'}}",
            "containers: [{name: a, image: b, securityContext: {privileged: true}, volumeMounts: [{name: net, mountPath: /n, mountPropagation: Bidirectional}, {name: i, mountPath: /i, mountPropagation: Bidirectional}]}]\nvolumes: [{name: net, nfs: {server: s, path: /}}, {name: i, image: {reference: x}}]\nhostUsers: false",
            "containers: [{name: a, image: b, ports: [{containerPort: 80}]}, {name: c, image: d, ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]}]\nhostNetwork: true",
            "containers: [{name: a, image: b}]\nsubdomain: a.b\nnodeName: A\nserviceAccountName: a_b\nruntimeClassName: a-\npriorityClassName: x/y\nnodeSelector: {-k: v, k: 'a b'}",
            "containers: [{name: a, image: b}]\ntolerations: [{}, {key: a b, operator: Exists, value: c}, {key: k, value: a-, tolerationSeconds: 3}, {operator: Exists}, {key: k, effect: NoExecute, tolerationSeconds: 3}]",
        ],
        pod
    ));
}

#[test]
fn rules_of_metadata() {
    let long = "a".repeat(64);
    let texts = [
        "{}".to_owned(),
        "{name: ''}".to_owned(),
        "{generateName: a-}".to_owned(),
        "{name: a/b, namespace: A.b}".to_owned(),
        format!("{{name: a, labels: {{-x: a, y: 'a b', z/: c, {long}: d, v: {long}, ok: ''}}}}"),
        "{name: a, labels: {a: 1, b: yes}, annotations: {A.b/C: d, 'x y': z}}".to_owned(),
        "[]".to_owned(),
    ];
    insta::assert_snapshot!(gallery(texts.iter().map(String::as_str), |metadata| format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {metadata}\n"
    )));
}

#[test]
fn rules_of_deployments() {
    let texts = [
        "{}",
        "{selector: {}, template: {spec: {containers: [{name: a, image: b}]}}}",
        "{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: a, image: b}]}}}",
        "{selector: {matchLabels: {a: b}}, template: {spec: {containers: [{name: a, image: b}]}}}",
        "{selector: {matchLables: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
        "{selector: {matchExpressions: [{key: a, operator: In}, {key: a, operator: Exists, values: [x]}, {key: a, operator: Is}]}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
        "{replicas: -1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: []}}}",
        "{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {activeDeadlineSeconds: 3, ephemeralContainers: [{name: e, image: f}], containers: [{name: a, image: b}]}}}",
        "{selector: {matchLabels: {a: b}}, minReadySeconds: 3, progressDeadlineSeconds: 3, strategy: {type: Recreate, rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
        "{selector: {matchLabels: {a: b}}, minReadySeconds: 600, strategy: {rollingUpdate: {maxSurge: -1, maxUnavailable: 101%}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
        "{selector: {matchLabels: {a: b}}, strategy: {rollingUpdate: {maxSurge: 25, maxUnavailable: 2.5%}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
        "{selector: {matchLabels: {a: b}}, strategy: {rollingUpdate: {maxSurge: '+1%', maxUnavailable: '3'}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
        "{selector: {matchLabels: {a: b}}, strategy: {type: Rolling, rollingUpdate: {maxSurge: 0, maxUnavailable: 00%}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
        "{selector: {matchLabels: {a: b}}, minReadySeconds: 1, progressDeadlineSeconds: 2, paused: true, revisionHistoryLimit: 0, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 250%, maxUnavailable: 100%}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
    ];
    insta::assert_snapshot!(gallery(texts, |spec| format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a}}\nspec: {spec}\n"
    )));
}

#[test]
fn rules_of_config_maps_and_secrets_and_claims() {
    let texts = [
        "kind: ConfigMap\ndata: {a/b: x, ..c: v, same: z}\nbinaryData: {same: AA==, bad: '!'}",
        "kind: ConfigMap\ndata: [a]\nstringData: {}",
        "kind: Secret\ndata: {password: not base64, ok: aGk=}",
        "kind: Secret\ntype: kubernetes.io/tls\ndata: {tls.crt: aGk=}",
        "kind: Secret\ntype: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: 'no json'}",
        "kind: Secret\ntype: kubernetes.io/ssh-auth\ndata: {ssh-privatekey: ''}",
        "kind: Secret\ntype: kubernetes.io/service-account-token\ndata: {token: aGk=}",
        "kind: Secret\ntype: kubernetes.io/basic-auth\nstringData: {user: x}",
        "kind: PersistentVolumeClaim\nspec: {}",
        "kind: PersistentVolumeClaim\nspec: {accessModes: [], resources: {requests: {}}}",
        "kind: PersistentVolumeClaim\nspec: {accessModes: [ReadWriteOncePod, ReadWriteMany, RWO], resources: {requests: {storage: 0}}, storageClassName: fast}",
    ];
    insta::assert_snapshot!(gallery(texts, |text| format!(
        "apiVersion: v1\nmetadata: {{name: a}}\n{text}\n"
    )));
}

#[test]
fn a_secret_that_is_too_large_is_refused_and_its_value_not_shown() {
    let value = "x".repeat((1 << 20) + 1);
    let text =
        told(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\nstringData: {{a: {value}}}\n"));
    assert_eq!(text, "error: f.yaml:1:1: the values must not exceed 1 MiB together, have 1048577 bytes\n");
    let text = told("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {a: hunter2!}\n");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn env_names_may_repeat() {
    assert_eq!(told(&container("env: [{name: A, value: a}, {name: A, value: b}]")), "");
}

#[test]
fn one_object_cannot_be_played_twice() {
    let one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n";
    let third = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\n";
    let loaded = load(
        &[source(one), Source { name: "g.yaml".into(), ..source(&format!("{third}---\n{other}")) }],
        "default",
    );
    assert_eq!(
        shown(&loaded.diagnostics),
        "error: g.yaml:11:18: metadata.name: the ConfigMap \"a\" is given twice; the first is at f.yaml:3:18\n  \
         hint: remove one of them or give it another name\n"
    );
    assert_eq!(loaded.documents.len(), 3);
}

/// Kinds that are generated and not played.
#[test]
fn rules_of_services() {
    insta::assert_snapshot!(gallery(
        [
            "{}",
            "{ports: []}",
            "{ports: [{port: 80}, {port: 80, name: A}, {port: 80, protocol: UDP, name: x, targetPort: '80'}, {port: 81, name: x, targetPort: 70000}]}",
            "{ports: [{port: 0, protocol: tcp, targetPort: http, appProtocol: 'a b'}], selector: {a: 'b c', 'd e': f}}",
            "{ports: [{port: 80, nodePort: 30000}]}",
            "{type: NodePort, ports: [{port: 80, nodePort: 80}, {name: b, port: 81, nodePort: 30000}, {name: c, port: 82, nodePort: 30000}, {name: d, port: 82, nodePort: 30000, protocol: UDP}]}",
            "{type: NodePort, clusterIP: None, ports: [{port: 80}]}",
            "{type: nodePort, clusterIP: web, ports: [{port: 80}]}",
            "{clusterIP: 10.0.0.1, clusterIPs: [10.0.0.2, 10.0.0.3], ports: [{port: 80}]}",
            "{clusterIPs: [10.0.0.1], ipFamilies: [IPv4, IPv4], ports: [{port: 80}]}",
            "{clusterIP: 'fd00::1', ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{port: 80}]}",
            "{ipFamilies: [IPv4, IPv6], ports: [{port: 80}]}",
            "{clusterIP: None, ipFamilies: [IPv4, IPv6]}",
            "{type: ExternalName, clusterIP: 10.0.0.1, ipFamilies: [IPv4]}",
            "{type: ExternalName, externalName: 192.0.2.1}",
            "{type: ExternalName, externalName: Db_1.example.com}",
            "{type: ExternalName, externalName: db.example.com.}",
            "{sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}, ports: [{port: 80}]}",
            "{sessionAffinityConfig: {clientIP: {timeoutSeconds: 1}}, ports: [{port: 80}]}",
            "{externalIPs: [127.0.0.1, a, '::', 224.0.0.1, 169.254.0.1, 192.0.2.1], externalTrafficPolicy: Local, ports: [{port: 80}]}",
            "{externalTrafficPolicy: Local, healthCheckNodePort: 30001, allocateLoadBalancerNodePorts: false, loadBalancerClass: a/b, loadBalancerSourceRanges: [10.0.0.0/8], ports: [{port: 80}]}",
            "{type: LoadBalancer, loadBalancerClass: internal/lb, loadBalancerIP: 192.0.2.1, loadBalancerSourceRanges: [10.0.0.0/33, a], ports: [{port: 80}]}",
        ],
        |spec| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {spec}\n")
    ));
}

#[test]
fn rules_of_endpoints() {
    insta::assert_snapshot!(gallery(
        [
            "kind: Endpoints\nsubsets: [{}]",
            "kind: Endpoints\nsubsets: [{addresses: [{ip: 127.0.0.1}, {ip: web}, {}, {ip: 192.0.2.1, hostname: a.b}], ports: [{port: 80}, {name: a, port: 0}]}]",
            "kind: EndpointSlice",
            "kind: EndpointSlice\naddressType: FQDN\nendpoints: [{addresses: [a.example.com]}]",
            "kind: EndpointSlice\naddressType: IPv4\nendpoints: [{addresses: []}, {addresses: ['fd00::1', '::1', x]}]\nports: [{name: a, port: 1}, {name: a, port: 2}, {name: B}]",
        ],
        |text| {
            let version = if text.contains("Slice") { "discovery.k8s.io/v1" } else { "v1" };
            format!("apiVersion: {version}\nmetadata: {{name: web}}\n{text}\n")
        }
    ));
}

#[test]
fn rules_of_runtime_classes() {
    insta::assert_snapshot!(gallery(
        [
            "",
            "handler: runc\nscheduling: {nodeSelector: {a: b}}",
            "handler: Run/C",
            "handler: crun\noverhead: {podFixed: {memory: -1, cpu: x}}",
        ],
        |text| format!("apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {{name: fast}}\n{text}\n")
    ));
}

#[test]
fn rules_of_what_is_made() {
    let long = "a".repeat(64);
    let spec = "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}";
    let selector = "selector: {matchLabels: {a: b}}";
    let texts = [
        ("StatefulSet", &long[..52], format!("{{serviceName: web, {selector}, {spec}}}")),
        ("StatefulSet", &long[..53], format!("{{serviceName: a.b, selector: {{}}, {spec}}}")),
        ("StatefulSet", "a.b", format!("{{{selector}, {spec}}}")),
        ("DaemonSet", "a.b", format!("{{{selector}, {spec}}}")),
        ("DaemonSet", "web", format!("{{replicas: 2, selector: {{matchLabels: {{a: c}}}}, {spec}}}")),
        (
            "DaemonSet",
            "web",
            format!("{{{selector}, {}}}", spec.replace("spec: {", "spec: {restartPolicy: Never, activeDeadlineSeconds: 1, ")),
        ),
        ("Job", &long[..63], format!("{{{}}}", spec.replace("spec: {", "spec: {restartPolicy: Never, activeDeadlineSeconds: 1, "))),
        ("Job", &long, format!("{{{}}}", spec.replace("a: b}}", "job-name: b}}"))),
        ("Service", "web", "{clusterIP: None}".to_owned()),
        ("Service", "1web", "{selector: {a: 'b c'}}".to_owned()),
        ("Service", &long, "{ports: [{port: 80}, {port: 80, name: A}, {port: 80, protocol: UDP, name: x, targetPort: '80'}, {port: 81, name: x, targetPort: 0}]}".to_owned()),
        ("Service", "web.a", "{ports: [{port: 70000, targetPort: http}]}".to_owned()),
        ("CronJob", "a", "{}".to_owned()),
    ];
    let mut out = String::new();
    for (kind, name, spec) in texts {
        let version = match kind {
            "Service" => "v1",
            "Job" => "batch/v1",
            _ => "apps/v1",
        };
        let text = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n");
        let object: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let found =
            shown(&validate(&object)).trim_end().replace("error: : ", "error: ").replace('\n', "\n   ");
        writeln!(out, "{kind} {name} {spec}\n=> {found}\n").unwrap();
    }
    insta::assert_snapshot!(out);
}

/// Generated objects are validated like those that are read.
#[test]
fn a_created_object_is_validated_like_one_that_was_read() {
    let text = container(
        "ports: [{name: HTTP, containerPort: 80}]\nenv: [{name: A=B}]\nvolumeMounts: [{name: x, mountPath: /srv}]\nworkingDir: srv\nlivenessProbe: {exec: {command: [a]}}\nfoo: 1",
    );
    let object: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let errors = |found: Vec<Diagnostic>| -> Vec<(String, String)> {
        let mut found: Vec<_> = found
            .into_iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error)
            .map(|diagnostic| (diagnostic.path, diagnostic.message))
            .collect();
        found.sort();
        found
    };
    let found = errors(validate(&object));
    assert_eq!(found.len(), 5);
    assert_eq!(found, errors(read(&text).diagnostics));
}
